using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// The tokenizer of a random checkpoint: byte-level BPE without merges, so that every byte is a token, and three special tokens behind
/// them. Every other id of the vocabulary has a name that no text is encoded to, so that whatever the model draws can be written.
/// </summary>
internal static class RandomCheckpointTokenizer
{
    private static readonly string[] Special = ["<|im_start|>", "<extra_0>", "<|im_end|>"];

    private const string Template =
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    /// <summary>Writes tokenizer.json and tokenizer_config.json.</summary>
    /// <exception cref="ElmException">the vocabulary has no room for 259 tokens, or the folder cannot be written</exception>
    public static void Write(string folder, int vocabularySize)
    {
        if (vocabularySize < 256 + Special.Length)
            throw new ElmException($"a byte tokenizer needs a vocabulary of {256 + Special.Length}, but vocab_size is {vocabularySize}: "
                + "make it larger");
        WriteJson(Path.Combine(folder, "tokenizer.json"), json => WriteTokenizer(json, vocabularySize));
        WriteJson(Path.Combine(folder, "tokenizer_config.json"), json =>
        {
            json.WriteString("tokenizer_class", "Qwen2Tokenizer");
            json.WriteNull("bos_token");
            json.WriteString("eos_token", "<|im_end|>");
            json.WriteString("pad_token", "<|im_end|>");
            json.WriteString("chat_template", Template);
        });
    }

    /// <summary>Removes what <see cref="Write"/> wrote.</summary>
    public static void Delete(string folder)
    {
        File.Delete(Path.Combine(folder, "tokenizer.json"));
        File.Delete(Path.Combine(folder, "tokenizer_config.json"));
    }

    private static void WriteTokenizer(Utf8JsonWriter json, int vocabularySize)
    {
        json.WriteString("version", "1.0");
        json.WriteNull("truncation");
        json.WriteNull("padding");
        json.WriteStartArray("added_tokens");
        for (int i = 0; i < Special.Length; i++)
        {
            json.WriteStartObject();
            json.WriteNumber("id", 256 + i);
            json.WriteString("content", Special[i]);
            foreach (string flag in (ReadOnlySpan<string>)["single_word", "lstrip", "rstrip", "normalized"])
                json.WriteBoolean(flag, false);
            json.WriteBoolean("special", true);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNull("normalizer");
        WriteByteLevel(json, "pre_tokenizer");
        json.WriteNull("post_processor");
        WriteByteLevel(json, "decoder");
        json.WriteStartObject("model");
        json.WriteString("type", "BPE");
        json.WriteNull("dropout");
        json.WriteNull("unk_token");
        json.WriteNull("continuing_subword_prefix");
        json.WriteNull("end_of_word_suffix");
        json.WriteBoolean("fuse_unk", false);
        json.WriteBoolean("byte_fallback", false);
        json.WriteBoolean("ignore_merges", false);
        json.WriteStartObject("vocab");
        int stand = 256;
        for (int b = 0; b < 256; b++)
        {
            // Byte-level BPE writes printable Latin-1 bytes as themselves and numbers the others from U+0100 on.
            bool printable = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            json.WriteNumber(((char)(printable ? b : stand++)).ToString(), b);
        }
        for (int id = 256 + Special.Length; id < vocabularySize; id++)
            json.WriteNumber($"<{id}>", id);
        json.WriteEndObject();
        json.WriteStartArray("merges");
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteByteLevel(Utf8JsonWriter json, string key)
    {
        json.WriteStartObject(key);
        json.WriteString("type", "ByteLevel");
        json.WriteBoolean("add_prefix_space", false);
        json.WriteBoolean("trim_offsets", true);
        json.WriteBoolean("use_regex", true);
        json.WriteEndObject();
    }

    private static void WriteJson(string path, Action<Utf8JsonWriter> write)
    {
        ArrayBufferWriter<byte> buffer = new();
        JsonWriterOptions options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = true, NewLine = "\n" };
        using (Utf8JsonWriter json = new(buffer, options))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }
        SafetensorsWriter.WriteText(path, buffer.WrittenMemory);
    }
}
