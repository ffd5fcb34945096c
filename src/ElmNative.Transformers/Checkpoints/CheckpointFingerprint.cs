using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// The digest that tells models apart. A tensor up to 256 KiB is read whole; of a larger one 8 evenly spaced blocks of 4 KiB, its first and
/// its last bytes among them, so that a model of 15 GB costs some megabytes.
/// </summary>
internal static class CheckpointFingerprint
{
    private const int ReadWhole = 1 << 18;
    private const int Blocks = 8;
    private const int BlockBytes = 4096;

    /// <summary>SHA-256 over the config and the tensors, sorted by name, in lower-case hexadecimal.</summary>
    /// <exception cref="ElmException">the config cannot be read any more</exception>
    public static string Compute(string configPath, IReadOnlyDictionary<string, SafetensorsFile> fileOf)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        try
        {
            AppendSized(hash, File.ReadAllBytes(configPath));
        }
        catch (Exception error) when (Sentences.IsFileError(error))
        {
            throw Sentences.Unreadable(configPath, error);
        }
        byte[] buffer = new byte[ReadWhole];
        foreach (string name in fileOf.Keys.Order(StringComparer.Ordinal))
        {
            SafetensorsFile file = fileOf[name];
            SafetensorsEntry entry = file.Entries[name];
            AppendSized(hash, Encoding.UTF8.GetBytes(name));
            AppendSized(hash, Encoding.UTF8.GetBytes(entry.Type));
            AppendNumber(hash, entry.Shape.Length);
            foreach (long dimension in entry.Shape)
                AppendNumber(hash, dimension);
            long bytes = entry.End - entry.Start;
            if (bytes <= ReadWhole)
                Append(entry.Start, (int)bytes);
            else
                for (int block = 0; block < Blocks; block++)
                    Append(entry.Start + (long)((Int128)(bytes - BlockBytes) * block / (Blocks - 1)), BlockBytes);

            void Append(long start, int count)
            {
                file.ReadData(start, buffer.AsSpan(0, count));
                hash.AppendData(buffer, 0, count);
            }
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    // Lengths in front keep two different lists of fields from hashing alike.
    private static void AppendSized(IncrementalHash hash, ReadOnlySpan<byte> bytes)
    {
        AppendNumber(hash, bytes.Length);
        hash.AppendData(bytes);
    }

    private static void AppendNumber(IncrementalHash hash, long number)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        hash.AppendData(bytes);
    }
}
