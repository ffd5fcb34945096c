using ElmNative.Compute.Cpu;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>The building blocks below the operations: fused multiply-add, exponential, logarithm.</summary>
[TestClass]
public sealed unsafe class NumericsTests
{
    private static float[] Exp(CpuBackend cpu, float[] x)
    {
        float[] y = new float[x.Length];
        fixed (float* from = x, to = y)
            NativeMethods.elm_exp(cpu.Context, from, to, x.Length);
        return y;
    }

    /// <summary>The distance of the floats around x.</summary>
    private static double Ulp(double x)
    {
        float below = MathF.BitDecrement(MathF.Abs((float)x));
        return Math.Max(MathF.Abs((float)x) - (double)below, float.Epsilon);
    }

    [TestMethod]
    public void FmaRoundsOnceOnEveryPath()
    {
        Random random = new(1);
        List<(float A, float B, float C)> cases = [];
        float AnyFloat() => BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32));
        for (int i = 0; i < 200000; i++)
            cases.Add((AnyFloat(), AnyFloat(), AnyFloat()));
        // Sums near a tie, with cancellation, and in the subnormal range.
        for (int i = 0; i < 200000; i++)
        {
            float a = 1 + random.Next(1 << 23) * MathF.Pow(2, -23), b = 1 + random.Next(1 << 12) * MathF.Pow(2, -12);
            cases.Add((a, b, -(a * b) * (random.Next(2) == 0 ? 1 : MathF.Pow(2, random.Next(-60, 60)))));
            cases.Add((a * MathF.Pow(2, -70), b * MathF.Pow(2, random.Next(-80, -50)), AnyFloat() * MathF.Pow(2, -60)));
            cases.Add((a, 1, MathF.Pow(2, random.Next(-30, 30)) * (random.Next(2) == 0 ? 1 : -1)));
        }
        cases.AddRange([(0, 0, -0f), (-0f, 1, 0), (float.MaxValue, 2, -float.MaxValue), (float.MaxValue, 2, float.NegativeInfinity),
            (float.PositiveInfinity, 0, 1), (float.NaN, 1, 1), (1, 1, float.NaN), (float.Epsilon, 0.5f, 0), (float.Epsilon, 0.5f, float.Epsilon)]);
        float[] x = [.. cases.Select(t => t.A)], y = [.. cases.Select(t => t.B)], z = [.. cases.Select(t => t.C)], got = new float[cases.Count];
        float[] wanted = [.. cases.Select(t => MathF.FusedMultiplyAdd(t.A, t.B, t.C))];
        foreach (string path in Paths)
        {
            using CpuBackend cpu = new(1, path);
            fixed (float* a = x, b = y, c = z, to = got)
                NativeMethods.elm_fma(cpu.Context, a, b, c, to, got.Length);
            SameBits(wanted, got, path);
        }
    }

    [TestMethod]
    public void ExpIsAccurateAndTheSameOnEveryPath()
    {
        List<float> x = [0, -0f, 88.72283f, 88.72284f, 89, 1e10f, -87.33655f, -87.4f, -100, -103.9f, -103.97f, -104, -1e10f, float.PositiveInfinity, float.NegativeInfinity, float.NaN];
        for (float at = -104; at < 88.7f; at += 0.0013f)
            x.Add(at);
        float[] input = [.. x];
        float[]? first = null;
        foreach (string path in Paths)
        {
            using CpuBackend cpu = new(1, path);
            float[] y = Exp(cpu, input);
            SameBits(first ??= y, y, path);
        }
        for (int i = 0; i < input.Length; i++)
        {
            double wanted = Math.Exp(input[i]);
            if (double.IsNaN(wanted) || wanted > float.MaxValue)
                Assert.AreEqual((float)wanted, first![i], $"exp({input[i]:R})");
            else
                Assert.AreEqual(wanted, first![i], 1.5 * Ulp(wanted), $"exp({input[i]:R})");
        }
        Assert.AreEqual(1f, first![0]);
        Assert.AreEqual(0f, first[14], "exp(-inf)");
    }

    [TestMethod]
    public void LogIsAccurate()
    {
        Random random = new(2);
        float[] x = [1, float.Epsilon, float.MaxValue, 1.4142135f, 1.4142137f, .. Enumerable.Range(0, 100000).Select(_ => BitConverter.UInt32BitsToSingle((uint)random.Next(1, 0x7f800000)))];
        float[] y = new float[x.Length];
        fixed (float* from = x, to = y)
            NativeMethods.elm_log(from, to, x.Length);
        for (int i = 0; i < x.Length; i++)
            Assert.AreEqual(Math.Log(x[i]), y[i], 0.51 * Ulp(Math.Log(x[i])), $"log({x[i]:R})");
        Assert.AreEqual(0f, y[0]);
    }
}
