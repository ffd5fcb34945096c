using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>Copies to and from the device, and the conversion of weights on the way.</summary>
[TestClass]
public sealed class CudaTransferTests
{
    /// <summary>Sizes around those of the small ring's segments and of the large buffers.</summary>
    private static readonly int[] Sizes = [0, 1, 2, 3, 63, 64, 65, 1000, CudaTransfers.SmallBytes / 2 - 1, CudaTransfers.SmallBytes / 2, CudaTransfers.SmallBytes / 2 + 1,
        CudaTransfers.LargeBytes / 2 - 1, CudaTransfers.LargeBytes / 2 + 1, 5 * CudaTransfers.LargeBytes / 4 + 3];

    private static ushort[] Pattern(int count, int seed)
    {
        ushort[] values = new ushort[count];
        new Random(seed).NextBytes(MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    [TestMethod]
    public void UploadsOfAllSizesArriveThoughTheirSourceIsOverwrittenAtOnce()
    {
        using CudaBackend cuda = CudaDevice.Open();
        (Tensor Tensor, int Size)[] uploads = [.. Sizes.Select(size => (cuda.Allocate(2L * size).As(ElementType.BF16, 1, size), size))];
        ushort[] source = new ushort[Sizes.Max()];
        foreach ((Tensor tensor, int size) in uploads)
        {
            Pattern(size, size).CopyTo(source, 0);
            cuda.Upload<ushort>(source.AsSpan(0, size), tensor);
            source.AsSpan().Fill(0xABCD);
        }
        foreach ((Tensor tensor, int size) in uploads)
        {
            ushort[] got = new ushort[size];
            cuda.Download<ushort>(tensor, got);
            Assert.IsTrue(got.AsSpan().SequenceEqual(Pattern(size, size)), $"{size} elements");
        }
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Upload<ushort>(new ushort[2], uploads[1].Tensor));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Download<ushort>(uploads[1].Tensor, new ushort[2]));
    }

    [TestMethod]
    public void TheRingOfSmallUploadsWrapsAround()
    {
        using CudaBackend cuda = CudaDevice.Open();
        const int columns = 701;
        int rows = 3 * CudaTransfers.SmallSegments * CudaTransfers.SmallBytes / (4 * columns);
        Tensor all = cuda.Allocate(4L * rows * columns).As(ElementType.F32, rows, columns);
        float[] row = new float[columns];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++)
                row[j] = i * columns + j;
            cuda.Upload<float>(row, all.Slice(i, 1));
        }
        SameBits([.. Enumerable.Range(0, rows * columns).Select(i => (float)i)], cuda.Get(all), "rows");
    }

    /// <summary>The nearest BF16 to a value, ties to the even, in double arithmetic.</summary>
    private static double Nearest(double x)
    {
        if (!double.IsFinite(x) || x == 0)
            return x;
        double quantum = Math.Pow(2, Math.Max(Math.ILogB(x), -126) - 7), rounded = Math.Round(x / quantum, MidpointRounding.ToEven) * quantum;
        return Math.Abs(rounded) >= Math.Pow(2, 128) ? Math.CopySign(double.PositiveInfinity, x) : rounded;
    }

    /// <summary>Fails unless a device value is the wanted one: to the bit, but for the bits inside a NaN.</summary>
    private static void Same(double wanted, float got, string what)
    {
        if (double.IsNaN(wanted) ? !float.IsNaN(got) : BitConverter.DoubleToInt64Bits(wanted) != BitConverter.DoubleToInt64Bits(got))
            Assert.Fail($"{what} became {got:R} instead of {wanted:R}");
    }

    /// <summary>What AdoptWeights makes of elements that start <paramref name="shift"/> bytes behind an aligned address, as floats.</summary>
    private static unsafe (ElementType Type, float[] Values) Adopt<T>(CudaBackend cuda, T[] stored, ElementType type, int rows, int shift) where T : unmanaged
    {
        byte[] file = GC.AllocateArray<byte>(stored.Length * sizeof(T) + 64 + shift, pinned: true);
        nint aligned = ((nint)Unsafe.AsPointer(ref file[0]) + 63) / 64 * 64 + shift;
        MemoryMarshal.AsBytes(stored.AsSpan()).CopyTo(new Span<byte>((void*)aligned, stored.Length * sizeof(T)));
        Tensor adopted = cuda.AdoptWeights(aligned, type, rows, stored.Length / rows, file);
        Array.Fill(file, (byte)0x55);
        float[] values = new float[adopted.Count];
        if (adopted.Type == ElementType.F32)
            cuda.Download<float>(adopted, values);
        else
        {
            ushort[] bits = new ushort[adopted.Count];
            cuda.Download<ushort>(adopted, bits);
            values = Array.ConvertAll(bits, x => BitConverter.UInt32BitsToSingle((uint)x << 16));
        }
        adopted.Buffer!.Dispose();
        return (adopted.Type, values);
    }

    /// <summary>Zeros, subnormals, ties, the largest values, infinities, NaNs whose bits would round away, and many more.</summary>
    private static float[] Singles(int random)
    {
        uint[] special = [0, 1, 2, 0x7FFF, 0x8000, 0x8001, 0x17FFF, 0x18000, 0x18001, 0x7FFFFF, 0x800000, 0x3F800000, 0x3F807FFF, 0x3F808000, 0x3F808001, 0x3F818000, 0x3F81FFFF,
            0x7F7F0000, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7F808000, 0x7FBFFFFF, 0x7FC00000, 0x7FFFFFFF];
        Random source = new(5);
        return [.. special.Concat(special.Select(x => x | 0x80000000)).Concat(Enumerable.Range(0, random).Select(_ => (uint)source.NextInt64(1L << 32)))
            .Select(BitConverter.UInt32BitsToSingle)];
    }

    [TestMethod]
    public void SinglesOfMatricesRoundToTheNearestBF16()
    {
        using CudaBackend cuda = CudaDevice.Open();
        foreach (int shift in new[] { 0, 1, 2, 3 })
        {
            float[] stored = Singles(100_000);
            (ElementType type, float[] got) = Adopt(cuda, stored, ElementType.F32, 2, shift);
            Assert.AreEqual(ElementType.BF16, type);
            for (int i = 0; i < stored.Length; i++)
                Same(Nearest(stored[i]), got[i], $"{stored[i]:R}");
        }
    }

    [TestMethod]
    public void EveryHalfRoundsToTheNearestBF16OrWidensExactly()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Half[] stored = [.. Enumerable.Range(0, 65536).Select(bits => BitConverter.UInt16BitsToHalf((ushort)bits))];
        foreach (int shift in new[] { 0, 1 })
        {
            (ElementType type, float[] got) = Adopt(cuda, stored, ElementType.F16, 2, shift);
            Assert.AreEqual(ElementType.BF16, type);
            (ElementType vectorType, float[] vector) = Adopt(cuda, stored, ElementType.F16, 1, shift);
            Assert.AreEqual(ElementType.F32, vectorType);
            for (int i = 0; i < stored.Length; i++)
            {
                Same(Nearest((double)stored[i]), got[i], $"half {i:X4}");
                Same((double)stored[i], vector[i], $"half {i:X4} of a vector");
            }
        }
    }

    [TestMethod]
    public void BF16AndVectorsOfSinglesStayAsTheyAre()
    {
        using CudaBackend cuda = CudaDevice.Open();
        ushort[] bits = Pattern(1001, 3);
        foreach (int rows in new[] { 1, 7 })
        {
            (ElementType type, float[] got) = Adopt(cuda, bits, ElementType.BF16, rows, 1);
            Assert.AreEqual(ElementType.BF16, type);
            for (int i = 0; i < bits.Length; i++)
                Same(BitConverter.UInt32BitsToSingle((uint)bits[i] << 16), got[i], $"element {i}");
        }
        float[] singles = Singles(100);
        (ElementType vectorType, float[] vector) = Adopt(cuda, singles, ElementType.F32, 1, 3);
        Assert.AreEqual(ElementType.F32, vectorType);
        SameBits(singles, vector, "vector");
        Assert.ThrowsExactly<ArgumentException>(() => cuda.AdoptWeights(0, ElementType.I32, 1, 1, cuda));
    }

    [TestMethod]
    public void RaggedSizesConvertToTheLastElement()
    {
        using CudaBackend cuda = CudaDevice.Open();
        for (int columns = 0; columns <= 40; columns++)
        {
            float[] stored = Normal(columns, 3 * columns);
            (_, float[] got) = Adopt(cuda, stored, ElementType.F32, 3, 0);
            Near([.. stored.Select(x => Nearest(x))], got, 0, $"{columns} columns of F32");
            Half[] halves = Array.ConvertAll(stored, x => (Half)x);
            (_, got) = Adopt(cuda, halves, ElementType.F16, 3, 2);
            Near([.. halves.Select(x => Nearest((double)x))], got, 0, $"{columns} columns of F16");
        }
    }

    [TestMethod]
    public void LargeWeightsPassThroughBothBuffersInPiecesAndReportTheirProgress()
    {
        using CudaBackend cuda = CudaDevice.Open();
        List<long> reports = [];
        cuda.WeightProgress = new Recorder(reports);
        int elements = 3 * CudaTransfers.LargeBytes / 2 + 1001;
        float[] stored = new float[elements];
        for (int i = 0; i < elements; i++)
            stored[i] = i * 0.37f - 1e6f;
        (_, float[] got) = Adopt(cuda, stored, ElementType.F32, elements, 1);
        for (int i = 0; i < elements; i++)
            if (got[i] != Nearest(stored[i]))
                Assert.Fail($"element {i} is {got[i]}, but should be {Nearest(stored[i])}");
        CollectionAssert.AreEqual(new[] { 1L, 2, 3 }.Select(x => x * 2 * CudaTransfers.LargeBytes).Append(4L * elements).ToList(), reports);
        Adopt(cuda, new ushort[10], ElementType.BF16, 1, 0);
        Assert.AreEqual(4L * elements + 20, reports[^1]);
    }

    private sealed class Recorder(List<long> reports) : IProgress<long>
    {
        public void Report(long value) => reports.Add(value);
    }
}
