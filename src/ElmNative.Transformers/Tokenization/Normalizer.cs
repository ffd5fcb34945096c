using System.Buffers;
using ElmNative.Transformers.Tokenization.Unicode;

namespace ElmNative.Transformers.Tokenization;

/// <summary>A step that rewrites text before it is cut, as Hugging Face's component of the same name does.</summary>
internal abstract class Normalizer
{
    /// <summary>The rewritten text: the same array where nothing changes. Input and output are valid UTF-8.</summary>
    public abstract byte[] Apply(byte[] text);

    /// <summary>Steps one after the other.</summary>
    public sealed class Sequence(IReadOnlyList<Normalizer> steps) : Normalizer
    {
        /// <inheritdoc/>
        public override byte[] Apply(byte[] text)
        {
            foreach (Normalizer step in steps)
                text = step.Apply(text);
            return text;
        }
    }

    /// <summary>Unicode normal form C.</summary>
    public sealed class Nfc : Normalizer
    {
        /// <inheritdoc/>
        public override byte[] Apply(byte[] text)
        {
            ArrayBufferWriter<byte> output = new();
            return CanonicalNormalization.TryCompose(text, output) ? output.WrittenSpan.ToArray() : text;
        }
    }

    /// <summary>Unicode normal form D.</summary>
    public sealed class Nfd : Normalizer
    {
        /// <inheritdoc/>
        public override byte[] Apply(byte[] text)
        {
            ArrayBufferWriter<byte> output = new(text.Length + 1);
            CanonicalNormalization.Decompose(text, output);
            return output.WrittenSpan.ToArray();
        }
    }

    /// <summary>Puts a fixed text before any text that is not empty.</summary>
    public sealed class Prepend(string prefix) : Normalizer
    {
        private readonly byte[] prefix = Utf8.From(prefix);

        /// <inheritdoc/>
        public override byte[] Apply(byte[] text) => text.Length == 0 ? text : [.. prefix, .. text];
    }

    /// <summary>Takes white space off the ends.</summary>
    public sealed class Strip(bool left, bool right) : Normalizer
    {
        /// <inheritdoc/>
        public override byte[] Apply(byte[] text)
        {
            int start = 0, end = text.Length;
            while (left && start < end && CharacterClasses.Kind(Utf8.Read(text, start, out int length)) == CharacterClasses.Space)
                start += length;
            while (right && start < end && CharacterClasses.Kind(Utf8.ReadBefore(text, end, out int length)) == CharacterClasses.Space)
                end -= length;
            return text[start..end];
        }
    }
}
