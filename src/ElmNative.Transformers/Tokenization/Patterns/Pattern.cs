using ElmNative.Compute;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization.Patterns;

/// <summary>
/// A compiled regular expression over UTF-8, matched by backtracking on code points. Its steps are counted, so that a pattern which
/// explodes on a text ends in an error, the same on every machine, and never in a hang.
/// </summary>
internal sealed class Pattern
{
    private const int LongestPattern = 10_000;
    private const int LargestProgram = 20_000;

    private enum Operation { Set, Run, Split, Jump, Ahead, NotAhead, Atomic, Anchor, Accept }

    private readonly record struct Instruction(Operation Operation, CodePointSet? Set = null, int First = 0, int Second = 0);

    /// <summary>A place to resume at; for a run, the text position may go back as far as <paramref name="Least"/>.</summary>
    private readonly record struct Resume(int Program, int Position, int Least);

    private readonly List<Instruction> program = [];
    private readonly string place;

    private Pattern(PatternNode node, string place)
    {
        this.place = place;
        Emit(node);
        Add(new Instruction(Operation.Accept));
    }

    /// <summary>Compiles a regular expression.</summary>
    /// <param name="expression">in Oniguruma's syntax</param>
    /// <param name="place">the file and component for error messages</param>
    /// <exception cref="ElmException">malformed, unsupported or too large</exception>
    public static Pattern FromExpression(string expression, string place) => expression.Length <= LongestPattern
        ? new Pattern(PatternParser.Parse(expression, place), place)
        : throw new ElmException($"{place}: the pattern is longer than {LongestPattern} characters, which elmn does not support.");

    /// <summary>Compiles a literal text.</summary>
    public static Pattern FromLiteral(string text, string place) => text.Length <= LongestPattern
        ? new Pattern(PatternParser.Literal(text), place)
        : throw new ElmException($"{place}: the pattern is longer than {LongestPattern} characters, which elmn does not support.");

    /// <summary>Steps that matching a text of this many bytes may take, all its matches together.</summary>
    public static long StepsFor(int bytes) => 100_000 + 400L * bytes;

    /// <summary>Finds the first match that starts at or after a byte index.</summary>
    /// <param name="text">valid UTF-8</param>
    /// <param name="from">where to start, on a character</param>
    /// <param name="steps">steps left; every step takes one</param>
    /// <param name="start">first byte of the match</param>
    /// <param name="end">one past its last byte</param>
    /// <exception cref="ElmException">the steps are used up</exception>
    public bool TryFind(ReadOnlySpan<byte> text, int from, ref long steps, out int start, out int end)
    {
        List<Resume> stack = [];
        for (start = from; start <= text.Length; start++)
        {
            if (start < text.Length && (text[start] & 0xC0) == 0x80)
                continue;
            end = Match(text, 0, start, stack, ref steps);
            if (end >= 0)
                return true;
        }
        end = -1;
        return false;
    }

    private int Match(ReadOnlySpan<byte> text, int counter, int position, List<Resume> stack, ref long steps)
    {
        int floor = stack.Count;
        while (true)
        {
            if (--steps < 0)
                throw new ElmException($"{place}: the pattern takes too many steps on this text; use a tokenizer with a simpler pattern.");
            Instruction instruction = program[counter];
            bool matched = true;
            switch (instruction.Operation)
            {
                case Operation.Set:
                    matched = position < text.Length && instruction.Set!.Contains(Utf8.Read(text, position, out int length));
                    if (matched)
                        position += Length(text[position]);
                    counter++;
                    break;
                case Operation.Run:
                    int least = -1, count = 0;
                    for (; ; count++)
                    {
                        if (count == instruction.First)
                            least = position;
                        if (count == instruction.Second || position >= text.Length ||
                            !instruction.Set!.Contains(Utf8.Read(text, position, out length)))
                            break;
                        position += length;
                    }
                    steps -= count;
                    matched = least >= 0;
                    counter++;
                    if (matched && position > least)
                        stack.Add(new Resume(counter, position, least));
                    break;
                case Operation.Split:
                    stack.Add(new Resume(instruction.Second, position, position));
                    counter = instruction.First;
                    break;
                case Operation.Jump:
                    counter = instruction.First;
                    break;
                case Operation.Ahead or Operation.NotAhead:
                    matched = Match(text, counter + 1, position, stack, ref steps) >= 0 == (instruction.Operation == Operation.Ahead);
                    counter = instruction.First;
                    break;
                case Operation.Atomic:
                    int inner = Match(text, counter + 1, position, stack, ref steps);
                    matched = inner >= 0;
                    position = inner;
                    counter = instruction.First;
                    break;
                case Operation.Anchor:
                    matched = IsAt((AnchorKind)instruction.First, text, position);
                    counter++;
                    break;
                default:
                    stack.RemoveRange(floor, stack.Count - floor);
                    return position;
            }
            if (matched)
                continue;
            if (stack.Count == floor)
                return -1;
            Resume resume = stack[^1];
            stack.RemoveAt(stack.Count - 1);
            (counter, position) = (resume.Program, resume.Position);
            if (resume.Position > resume.Least)
            {
                do
                    position--;
                while ((text[position] & 0xC0) == 0x80);
                if (position > resume.Least)
                    stack.Add(resume with { Position = position });
            }
        }
    }

    private static int Length(byte lead) => lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    private static bool IsAt(AnchorKind kind, ReadOnlySpan<byte> text, int position) => kind switch
    {
        AnchorKind.TextStart => position == 0,
        AnchorKind.TextEnd => position == text.Length,
        AnchorKind.LineStart => position == 0 || text[position - 1] == '\n',
        _ => position == text.Length || text[position] == '\n',
    };

    private int Add(Instruction instruction)
    {
        if (program.Count >= LargestProgram)
            throw new ElmException($"{place}: the pattern is too large for elmn.");
        program.Add(instruction);
        return program.Count - 1;
    }

    private void Emit(PatternNode node)
    {
        switch (node)
        {
            case PatternNode.Set set:
                Add(new Instruction(Operation.Set, set.Points));
                break;
            case PatternNode.Chain chain:
                foreach (PatternNode item in chain.Items)
                    Emit(item);
                break;
            case PatternNode.Choice choice:
                EmitChoice(choice);
                break;
            case PatternNode.Repeat { Item: PatternNode.Set single, Greedy: true } run:
                Add(new Instruction(Operation.Run, single.Points, run.Least, run.Most));
                break;
            case PatternNode.Repeat repeat:
                EmitRepeat(repeat);
                break;
            case PatternNode.Atomic atomic:
                EmitNested(Operation.Atomic, atomic.Item);
                break;
            case PatternNode.Ahead ahead:
                EmitNested(ahead.Negated ? Operation.NotAhead : Operation.Ahead, ahead.Item);
                break;
            case PatternNode.Anchor anchor:
                Add(new Instruction(Operation.Anchor, First: (int)anchor.Kind));
                break;
        }
    }

    private void EmitNested(Operation operation, PatternNode item)
    {
        int start = Add(new Instruction(operation));
        Emit(item);
        Add(new Instruction(Operation.Accept));
        program[start] = new Instruction(operation, First: program.Count);
    }

    private void EmitChoice(PatternNode.Choice choice)
    {
        List<int> ends = [];
        for (int i = 0; i < choice.Items.Count - 1; i++)
        {
            int split = Add(new Instruction(Operation.Split));
            Emit(choice.Items[i]);
            ends.Add(Add(new Instruction(Operation.Jump)));
            program[split] = new Instruction(Operation.Split, First: split + 1, Second: program.Count);
        }
        Emit(choice.Items[^1]);
        foreach (int end in ends)
            program[end] = new Instruction(Operation.Jump, First: program.Count);
    }

    private void EmitRepeat(PatternNode.Repeat repeat)
    {
        for (int i = 0; i < repeat.Least; i++)
            Emit(repeat.Item);
        if (repeat.Most == int.MaxValue)
        {
            int loop = Add(new Instruction(Operation.Split));
            Emit(repeat.Item);
            Add(new Instruction(Operation.Jump, First: loop));
            program[loop] = Fork(repeat.Greedy, loop + 1, program.Count);
            return;
        }
        List<int> forks = [];
        for (int i = repeat.Least; i < repeat.Most; i++)
        {
            forks.Add(Add(new Instruction(Operation.Split)));
            Emit(repeat.Item);
        }
        foreach (int fork in forks)
            program[fork] = Fork(repeat.Greedy, fork + 1, program.Count);
    }

    private static Instruction Fork(bool greedy, int into, int past) =>
        greedy ? new Instruction(Operation.Split, First: into, Second: past) : new Instruction(Operation.Split, First: past, Second: into);
}
