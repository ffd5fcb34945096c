namespace ElmNative.Compute.Cpu;

/// <summary>What the CPU compute core finds on this machine.</summary>
/// <param name="Supported">instruction paths that can run here, of <c>scalar</c>, <c>avx2</c> and <c>avx512</c>; all give the same
/// bits</param>
/// <param name="Chosen">the path that a new backend uses: the best, or what the environment variable ELM_CPU names</param>
/// <param name="Threads">processors that this process may use, the default number of threads</param>
public sealed record CpuFeatures(IReadOnlyList<string> Supported, string Chosen, int Threads);
