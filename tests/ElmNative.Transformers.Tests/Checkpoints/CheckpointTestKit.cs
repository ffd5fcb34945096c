using System.Buffers.Binary;
using System.Text;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Transformers.Tests.Checkpoints;

/// <summary>A new folder under the system's temporary one, removed with all that is in it.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Root { get; } = Directory.CreateTempSubdirectory("elm-checkpoints-").FullName;

    public string PathOf(string name) => Path.Combine(Root, name);

    public string Write(string name, string text) => Write(name, Encoding.UTF8.GetBytes(text));

    public string Write(string name, byte[] bytes)
    {
        File.WriteAllBytes(PathOf(name), bytes);
        return PathOf(name);
    }

    public void Dispose() => Directory.Delete(Root, recursive: true);
}

/// <summary>What the checkpoint tests share: hand-made files, and the rule that every error is one sentence.</summary>
internal static class CheckpointTestKit
{
    /// <summary>A config that loads; tests change one thing in it.</summary>
    public const string TinyConfig = """
        {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 8, "intermediate_size": 12,
         "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 11, "rms_norm_eps": 1e-06,
         "rope_theta": 10000.0, "max_position_embeddings": 64, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "eos_token_id": 3}
        """;

    /// <summary>The bytes of a safetensors file with that header, and so many zero bytes of data.</summary>
    public static byte[] Safetensors(string header, int dataBytes = 0) => Safetensors(Encoding.UTF8.GetBytes(header), dataBytes);

    public static byte[] Safetensors(byte[] header, int dataBytes)
    {
        byte[] file = new byte[8 + header.Length + dataBytes];
        BinaryPrimitives.WriteInt64LittleEndian(file, header.Length);
        header.CopyTo(file, 8);
        return file;
    }

    /// <summary>The action is refused with one sentence that has all these parts.</summary>
    public static void Refused(Action action, params ReadOnlySpan<string> parts)
    {
        string sentence = Assert.ThrowsExactly<ElmException>(action).Message;
        foreach (string part in parts)
            StringAssert.Contains(sentence, part);
        CheckSentence(sentence);
    }

    /// <summary>One line of printable text, without a full stop, that says what to do after a colon.</summary>
    public static void CheckSentence(string sentence)
    {
        Assert.IsFalse(sentence.Any(char.IsControl), sentence);
        Assert.IsFalse(sentence.EndsWith('.'), sentence);
        Assert.IsTrue(sentence.Length is > 20 and < 1500, sentence);
        StringAssert.Contains(sentence, ": ");
    }

    public static ModelConfig Config(string json, string? generation = null) => ModelConfig.Read(
        JsonSection.Parse(Encoding.UTF8.GetBytes(json), "config.json"),
        generation is null ? null : JsonSection.Parse(Encoding.UTF8.GetBytes(generation), "generation_config.json"));
}
