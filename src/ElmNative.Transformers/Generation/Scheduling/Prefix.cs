using ElmNative.Transformers.Models;

namespace ElmNative.Transformers.Generation.Scheduling;

/// <summary>
/// What the completions of one request share: soft prompt and prompt. It is in the store from the entry of the first rollout until the last one has left.
/// </summary>
/// <param name="model">the model</param><param name="request">index of the request</param><param name="asked">the request</param>
internal sealed class Prefix(LanguageModel model, int request, GenerationRequest asked)
{
    /// <summary>Index of the request.</summary>
    public int Request { get; } = request;

    /// <summary>The request.</summary>
    public GenerationRequest Asked { get; } = asked;

    /// <summary>Rows of soft prompt and prompt.</summary>
    public int Rows { get; } = RowsOf(model, asked);

    /// <summary>Most tokens of a completion: what was asked for, cut to what the context leaves.</summary>
    public int TokenLimit { get; } = Math.Min(asked.MaxNewTokens, model.MaxPositions - RowsOf(model, asked) + 1);

    /// <summary>Slots of a sequence of its own: its last token is never fed.</summary>
    public int RowsPerSequence => TokenLimit - 1;

    /// <summary>How many rollouts were asked for.</summary>
    public int Rollouts => Asked.Count;

    /// <summary>Rollouts that have entered the batch; the next one to enter has this index.</summary>
    public int Entered { get; set; }

    /// <summary>Rollouts that have left it.</summary>
    public int Left { get; set; }

    /// <summary>First slot in the store, while resident.</summary>
    public int FirstSlot { get; set; }

    /// <summary>Where the final hidden state of the last row is kept for rollouts that enter later, while resident.</summary>
    public int HiddenRow { get; set; }

    /// <summary>Index among the attention segments, while any of its rollouts is in the batch.</summary>
    public int Segment { get; set; }

    /// <summary>Rows of soft prompt and prompt of a request.</summary>
    public static int RowsOf(LanguageModel model, GenerationRequest request) => request.SoftPrompt.Length / model.HiddenSize + request.PromptIds.Length;
}

/// <summary>One completion in the making. Its token i is in slot FirstSlot + i once it is fed.</summary>
internal sealed class Sequence(Prefix prefix, int rollout, int firstSlot)
{
    private readonly int[] tokens = new int[prefix.TokenLimit];
    private readonly float[] logProbs = new float[prefix.TokenLimit];
    private bool ended;

    /// <summary>What it shares with the other rollouts of its request.</summary>
    public Prefix Prefix { get; } = prefix;

    /// <summary>Index among the rollouts of its request.</summary>
    public int Rollout { get; } = rollout;

    /// <summary>First of its own slots in the store.</summary>
    public int FirstSlot { get; } = firstSlot;

    /// <summary>Tokens drawn so far.</summary>
    public int Length { get; private set; }

    /// <summary>The newest token.</summary>
    public int LastToken => tokens[Length - 1];

    /// <summary>True once the completion is whole: no further token is drawn.</summary>
    public bool IsDone { get; private set; }

    /// <summary>Appends a drawn token.</summary>
    /// <param name="token">its id</param><param name="logProb">its log-probability</param><param name="isEnd">whether the model ends its answers with it</param>
    public void Append(int token, float logProb, bool isEnd)
    {
        tokens[Length] = token;
        logProbs[Length++] = logProb;
        ended = isEnd && !Prefix.Asked.IgnoreEndTokens;
        IsDone = ended || Length == tokens.Length;
    }

    /// <summary>The completion so far.</summary>
    public Completion ToCompletion() => new(tokens[..Length], logProbs[..Length], ended);
}
