using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using ElmNative.Experience.Answers;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Memories;
using ElmNative.Experience.Protocols;
using ElmNative.Experience.Verification;

namespace ElmNative.Experience.Reports;

/// <summary>
/// How records become JSON: snake_case names in order of declaration, numbers in the shortest form that reads back the same, every member
/// written. Generated at compile time, so that a trimmed program has it.
/// </summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(TrainingSettings))]
[JsonSerializable(typeof(StepRecord))]
[JsonSerializable(typeof(SampleRecord))]
[JsonSerializable(typeof(Summary))]
[JsonSerializable(typeof(RunRecord))]
[JsonSerializable(typeof(TimingRecord))]
public sealed partial class ExperienceJson : JsonSerializerContext
{
    /// <summary>One line a record.</summary>
    public static ExperienceJson Lines { get; } = new(Written(indented: false));

    /// <summary>For files that hold one record.</summary>
    public static ExperienceJson Indented { get; } = new(Written(indented: true));

    private static JsonSerializerOptions Written(bool indented) => new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = indented,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters =
        {
            new JsonStringEnumConverter<Objective>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<InitialisationKind>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<VoteRule>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<BoxChoice>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<RetrievalKind>(JsonNamingPolicy.SnakeCaseLower),
            new JsonStringEnumConverter<Route>(JsonNamingPolicy.SnakeCaseLower),
        },
    };
}
