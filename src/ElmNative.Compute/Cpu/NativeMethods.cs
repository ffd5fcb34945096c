using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cpu;

/// <summary><c>elm_tensor</c> of elm_cpu.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NativeTensor
{
    public nint Data;
    public int Type;
    public int Rows;
    public int Columns;

    public static implicit operator NativeTensor(Tensor x) =>
        new() { Data = x.Address, Type = (int)x.Type, Rows = x.Rows, Columns = x.Columns };
}

/// <summary><c>elm_attention_plan</c> of elm_cpu.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NativeAttentionPlan
{
    public NativeTensor Segments;
    public NativeTensor Queries;
    public NativeTensor Trees;
    public int MaxContext;
    public int QueryHeads;
    public int KeyHeads;
    public int HeadSize;
    public float Scale;
}

/// <summary><c>elm_projection</c> of elm_cpu.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NativeProjection
{
    public NativeTensor Weight, Bias, Y;
}

/// <summary><c>elm_adamw_settings</c> of elm_cpu.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NativeAdamWSettings
{
    public float LearningRate, Beta1, Beta2, Epsilon, WeightDecay, MaxGradNorm;
    public int Step;
}

/// <summary>The C ABI of the compute core; see native/elm_cpu.h, which states the contracts.</summary>
internal static unsafe partial class NativeMethods
{
    /// <summary>The version of the header that these declarations follow.</summary>
    public const int AbiVersion = 3;

    /// <summary><c>ELM_MATRIX</c>: the type of a tensor whose data is a packed matrix.</summary>
    public const int PackedMatrix = 4;

    public const int Ok = 0, InvalidArgument = 1, OutOfMemory = 2, Unsupported = 3;

    private const string Library = "elm_cpu";

    [LibraryImport(Library)] public static partial int elm_abi_version();
    [LibraryImport(Library)] public static partial byte* elm_last_error();
    [LibraryImport(Library)] public static partial int elm_supported_paths();
    [LibraryImport(Library)] public static partial int elm_processors();
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int elm_create(int threads, string? path, out nint context);
    [LibraryImport(Library)] public static partial void elm_destroy(nint context);
    [LibraryImport(Library)] public static partial int elm_threads(nint context);
    [LibraryImport(Library)] public static partial int elm_path(nint context);

    [LibraryImport(Library)] public static partial int elm_pack(nint context, NativeTensor weight, out nint matrix);
    [LibraryImport(Library)] public static partial void elm_free_matrix(nint matrix);
    [LibraryImport(Library)] public static partial long elm_matrix_bytes(nint matrix);

    [LibraryImport(Library)] public static partial int elm_zero(nint context, NativeTensor x);
    [LibraryImport(Library)] public static partial int elm_copy(nint context, NativeTensor source, NativeTensor destination);
    [LibraryImport(Library)] public static partial int elm_add(nint context, NativeTensor x, NativeTensor y);
    [LibraryImport(Library)] public static partial int elm_scale_rows(nint context, NativeTensor scales, NativeTensor x);
    [LibraryImport(Library)]
    public static partial int elm_gather_rows(nint context, NativeTensor source, NativeTensor indices, NativeTensor destination);
    [LibraryImport(Library)]
    public static partial int elm_scatter_rows(nint context, NativeTensor source, NativeTensor indices, NativeTensor destination);
    [LibraryImport(Library)]
    public static partial int elm_scatter_add_rows(nint context, NativeTensor source, NativeTensor indices, NativeTensor destination);
    [LibraryImport(Library)]
    public static partial int elm_rms_norm(nint context, NativeTensor x, NativeTensor weight, float epsilon, NativeTensor y);
    [LibraryImport(Library)]
    public static partial int elm_rms_norm_backward(
        nint context, NativeTensor x, NativeTensor weight, float epsilon, NativeTensor dy, NativeTensor dx);
    [LibraryImport(Library)]
    public static partial int elm_linear(nint context, NativeTensor x, NativeTensor weight, NativeTensor bias, NativeTensor y,
        int accumulate);
    [LibraryImport(Library)] public static partial int elm_project(nint context, NativeTensor x, NativeProjection* projections, int count);
    [LibraryImport(Library)]
    public static partial int elm_linear_backward(nint context, NativeTensor dy, NativeTensor weight, NativeTensor dx, int accumulate);
    [LibraryImport(Library)]
    public static partial int elm_rotary(nint context, NativeTensor x, NativeTensor positions, NativeTensor table, int headSize,
        int inverse,
        NativeTensor slots, NativeTensor y);
    [LibraryImport(Library)]
    public static partial int elm_attention(nint context, in NativeAttentionPlan plan, NativeTensor q, NativeTensor k, NativeTensor v,
        NativeTensor y, NativeTensor logSumExp);
    [LibraryImport(Library)]
    public static partial int elm_attention_backward(nint context, in NativeAttentionPlan plan, NativeTensor q, NativeTensor k,
        NativeTensor v, NativeTensor y, NativeTensor logSumExp, NativeTensor dy, NativeTensor dq, NativeTensor dk, NativeTensor dv);
    [LibraryImport(Library)] public static partial int elm_swiglu(nint context, NativeTensor gate, NativeTensor up, NativeTensor y);
    [LibraryImport(Library)]
    public static partial int elm_swiglu_backward(
        nint context, NativeTensor gate, NativeTensor up, NativeTensor dy, NativeTensor dgate, NativeTensor dup);
    [LibraryImport(Library)]
    public static partial int elm_log_probs(nint context, NativeTensor hidden, NativeTensor weight, NativeTensor targets, float temperature,
        NativeTensor logProbs, NativeTensor entropy, NativeTensor gradient);
    [LibraryImport(Library)]
    public static partial int elm_sample(nint context, NativeTensor logits, NativeTensor rows, NativeTensor tokens, NativeTensor logProbs);
    [LibraryImport(Library)]
    public static partial int elm_pool_heads(nint context, NativeTensor x, NativeTensor ranges, int headSize, NativeTensor y);
    [LibraryImport(Library)]
    public static partial int elm_cosine_top_k(nint context, NativeTensor queries, NativeTensor keys, NativeTensor limits, int terms,
        NativeTensor indices, NativeTensor scores);
    [LibraryImport(Library)]
    public static partial int elm_adamw(nint context, NativeTensor theta, NativeTensor grad, NativeTensor m, NativeTensor v,
        in NativeAdamWSettings settings, NativeTensor gradNorm);

    [LibraryImport(Library)] public static partial void elm_philox(uint* counter, uint* key, uint* output);
    [LibraryImport(Library)] public static partial void elm_exp(nint context, float* x, float* y, long count);
    [LibraryImport(Library)] public static partial void elm_log(float* x, float* y, long count);
    [LibraryImport(Library)] public static partial void elm_fma(nint context, float* a, float* b, float* c, float* y, long count);
}
