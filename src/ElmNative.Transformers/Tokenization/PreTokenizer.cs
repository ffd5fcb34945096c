using System.Buffers;
using ElmNative.Transformers.Tokenization.Patterns;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization;

/// <summary>A step that cuts pieces into smaller ones, as Hugging Face's component of the same name does.</summary>
internal abstract class PreTokenizer
{
    /// <summary>Cuts each piece.</summary>
    public abstract void Apply(Pieces pieces);

    /// <summary>What becomes of the matches of a pattern.</summary>
    internal enum Behavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous }

    /// <summary>Steps one after the other.</summary>
    public sealed class Sequence(IReadOnlyList<PreTokenizer> steps) : PreTokenizer
    {
        /// <inheritdoc/>
        public override void Apply(Pieces pieces)
        {
            foreach (PreTokenizer step in steps)
                step.Apply(pieces);
        }
    }

    /// <summary>Cuts by one of the known word patterns, whose matches lie end to end.</summary>
    public sealed class Words(WordScanner scanner) : PreTokenizer
    {
        /// <inheritdoc/>
        public override void Apply(Pieces pieces)
        {
            List<(int, int)> next = pieces.NextSpans();
            foreach ((int start, int end) in pieces.Spans)
            {
                ReadOnlySpan<byte> piece = pieces.Text[start..end];
                for (int at = 0; at < piece.Length;)
                {
                    int stop = scanner.End(piece, at);
                    next.Add((start + at, start + stop));
                    at = stop;
                }
            }
            pieces.Swap();
        }
    }

    /// <summary>Puts a space before each piece that does not start with one.</summary>
    public sealed class PrefixSpace : PreTokenizer
    {
        /// <inheritdoc/>
        public override void Apply(Pieces pieces)
        {
            ArrayBufferWriter<byte> text = new();
            List<(int, int)> next = pieces.NextSpans();
            foreach ((int start, int end) in pieces.Spans)
            {
                int from = text.WrittenCount;
                if (pieces.Text[start] != ' ')
                    text.Write(" "u8);
                text.Write(pieces.Text[start..end]);
                next.Add((from, text.WrittenCount));
            }
            pieces.Replace(text.WrittenSpan);
            pieces.Swap();
        }
    }

    /// <summary>Cuts at the matches of a pattern or a predicate.</summary>
    public abstract class Matching(Behavior behavior, bool invert) : PreTokenizer
    {
        private readonly record struct Part(int Start, int End, bool IsMatch);

        /// <summary>The next match at or after a byte index of a piece.</summary>
        protected abstract bool TryFind(ReadOnlySpan<byte> piece, int from, ref long steps, out int start, out int end);

        /// <inheritdoc/>
        public override void Apply(Pieces pieces)
        {
            List<(int Start, int End)> next = pieces.NextSpans();
            List<Part> parts = [];
            long steps = Pattern.StepsFor(pieces.Text.Length);
            foreach ((int start, int end) in pieces.Spans)
            {
                parts.Clear();
                FindParts(pieces.Text[start..end], parts, ref steps);
                Arrange(parts, start, next);
            }
            pieces.Swap();
        }

        private void FindParts(ReadOnlySpan<byte> piece, List<Part> parts, ref long steps)
        {
            int from = 0, covered = 0;
            while (from <= piece.Length && TryFind(piece, from, ref steps, out int start, out int end))
            {
                // An empty match right after the last match does not count.
                if (start == end && parts.Count > 0 && end == covered)
                {
                    from = end >= piece.Length ? piece.Length + 1 : end + LengthAt(piece, end);
                    continue;
                }
                if (start > covered)
                    parts.Add(new Part(covered, start, invert));
                parts.Add(new Part(start, end, !invert));
                covered = end;
                from = end > start ? end : end >= piece.Length ? piece.Length + 1 : end + LengthAt(piece, end);
            }
            if (covered < piece.Length)
                parts.Add(new Part(covered, piece.Length, invert));
        }

        private void Arrange(List<Part> parts, int offset, List<(int Start, int End)> output)
        {
            int first = output.Count;
            bool last = false;
            if (behavior == Behavior.MergedWithNext)
                parts.Reverse();
            foreach (Part part in parts)
            {
                (int Start, int End) span = (offset + part.Start, offset + part.End);
                bool joins = output.Count > first && behavior switch
                {
                    Behavior.MergedWithPrevious or Behavior.MergedWithNext => part.IsMatch && !last,
                    Behavior.Contiguous => part.IsMatch == last,
                    _ => false,
                };
                if (joins)
                    output[^1] = (Math.Min(output[^1].Start, span.Start), Math.Max(output[^1].End, span.End));
                else if (behavior != Behavior.Removed || !part.IsMatch)
                    output.Add(span);
                last = part.IsMatch;
            }
            if (behavior == Behavior.MergedWithNext)
                output.Reverse(first, output.Count - first);
            for (int i = output.Count - 1; i >= first; i--)
                if (output[i].Start == output[i].End)
                    output.RemoveAt(i);
        }

        private static int LengthAt(ReadOnlySpan<byte> piece, int at)
        {
            Utf8.Read(piece, at, out int length);
            return length;
        }
    }

    /// <summary>Cuts at the matches of a regular expression or a literal text.</summary>
    public sealed class Split(Pattern pattern, Behavior behavior, bool invert) : Matching(behavior, invert)
    {
        /// <inheritdoc/>
        protected override bool TryFind(ReadOnlySpan<byte> piece, int from, ref long steps, out int start, out int end) =>
            pattern.TryFind(piece, from, ref steps, out start, out end);
    }

    /// <summary>Cuts at numbers: each alone, or runs of them.</summary>
    public sealed class Digits(bool individual) : Matching(individual ? Behavior.Isolated : Behavior.Contiguous, invert: false)
    {
        /// <inheritdoc/>
        protected override bool TryFind(ReadOnlySpan<byte> piece, int from, ref long steps, out int start, out int end)
        {
            for (start = from; start < piece.Length; start = end)
            {
                int point = Utf8.Read(piece, start, out int length);
                end = start + length;
                if (CharacterClasses.Kind(point) == CharacterClasses.Number)
                    return true;
            }
            end = start;
            return false;
        }
    }
}
