using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using ElmNative.Compute;

namespace ElmNative.Transformers.Checkpoints;

/// <summary>
/// The digest that tells models apart. A tensor up to 1 MiB is read whole; of a larger one 16 evenly spaced blocks of 4 KiB, its first and its
/// last bytes among them, so that a model of 15 GB costs some tens of megabytes.
/// </summary>
internal static class CheckpointFingerprint
{
    private const int ReadWhole = 1 << 20;
    private const int Blocks = 16;
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
                hash.AppendData(file.Bytes(entry.Start, (int)bytes));
            else
                for (int block = 0; block < Blocks; block++)
                    hash.AppendData(file.Bytes(entry.Start + (long)((Int128)(bytes - BlockBytes) * block / (Blocks - 1)), BlockBytes));
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
