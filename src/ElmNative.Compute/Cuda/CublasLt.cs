using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <summary>
/// Dense products by cuBLASLt: row-major BF16 inputs, sums in float32, BF16 or F32 results. The library thinks in columns, so a row-major matrix
/// is its transpose to it. For every kind of product the descriptors and the algorithm are found once and kept; a call then allocates nothing.
/// </summary>
internal sealed unsafe class CublasLt : IDisposable
{
    /// <summary>Algorithms asked for; the first usable one, in the library's own order of speed, is taken.</summary>
    private const int Choices = 8;

    /// <summary>Plans that are kept; packed batches have ever new numbers of rows.</summary>
    private const int MostPlans = 4096;

    private const int BiasAlignment = 16, HighestAlignment = 256;

    private readonly CublasLtLibrary library;
    private readonly DeviceBuffer workspace;
    private readonly Dictionary<Product, Plan> plans = [];
    private readonly nint handle;

    private CublasLt(CublasLtLibrary library, Func<long, DeviceBuffer> allocate, int workspaceBytes)
    {
        this.library = library;
        workspace = allocate(workspaceBytes);
        nint made;
        Check(library.Create(&made), "cublasLtCreate");
        handle = made;
    }

    /// <summary>Opens the library in the current context.</summary>
    /// <param name="options">where it is and whether it is wanted</param><param name="allocate">device memory</param>
    /// <param name="workspaceBytes">what algorithms may use; 32 MiB are enough for all of a recent GPU's</param>
    /// <param name="reason">the name of what is used, or why there is none</param>
    public static CublasLt? Open(CudaOptions options, Func<long, DeviceBuffer> allocate, int workspaceBytes, out string reason)
    {
        if (!options.UsesCublasLt)
        {
            reason = "ELM_CUBLASLT is off";
            return null;
        }
        CublasLtLibrary? library = CublasLtLibrary.Load(options.CublasLtLibrary, out reason);
        if (library is null)
            return null;
        reason = $"cuBLASLt {library.Version}";
        return new CublasLt(library, allocate, workspaceBytes);
    }

    /// <summary>y = x W^T + bias, or y += that. To the library: y^T [n, m] = W^T transposed [n, k] times x^T [k, m].</summary>
    /// <param name="stream">queue</param><param name="x">BF16 [m, k]</param><param name="weight">BF16 [n, k]</param>
    /// <param name="bias">[1, n] of y's type, or absent</param>
    /// <param name="y">BF16 or F32 [m, n]</param><param name="accumulate">add</param>
    /// <returns>false, with nothing queued, where the library has no algorithm for it</returns>
    public bool Linear(CudaStream stream, Tensor x, Tensor weight, Tensor bias, Tensor y, bool accumulate) =>
        Multiply(stream, new Product(weight.Rows, x.Rows, weight.Columns, true, y.Type, bias.IsPresent ? Alignment(bias.Address) : 0, accumulate,
            Alignment(weight.Address | x.Address | y.Address)), weight, x, bias, y);

    /// <summary>dx = dy W, or dx += that. To the library: dx^T [k, m] = W^T [k, n] times dy^T [n, m].</summary>
    /// <param name="stream">queue</param><param name="dy">BF16 [m, n]</param><param name="weight">BF16 [n, k]</param>
    /// <param name="dx">BF16 or F32 [m, k]</param><param name="accumulate">add</param>
    /// <returns>false, with nothing queued, where the library has no algorithm for it</returns>
    public bool LinearBackward(CudaStream stream, Tensor dy, Tensor weight, Tensor dx, bool accumulate) =>
        Multiply(stream, new Product(weight.Columns, dy.Rows, weight.Rows, false, dx.Type, 0, accumulate,
            Alignment(weight.Address | dy.Address | dx.Address)), weight, dy, default, dx);

    /// <summary>Gives the descriptors and the workspace back. The stream is idle.</summary>
    public void Dispose()
    {
        ForgetPlans();
        workspace.Dispose();
        library.Destroy(handle);
    }

    private bool Multiply(CudaStream stream, Product product, Tensor a, Tensor b, Tensor bias, Tensor d)
    {
        if (bias.IsPresent && bias.Address % BiasAlignment != 0)
            return false;
        if (!plans.TryGetValue(product, out Plan? plan))
        {
            if (stream.IsCapturing)
                throw new InvalidOperationException($"cuBLASLt cannot choose an algorithm for a product of {product.Rows} x " +
                    $"{product.Columns} x {product.Depth} while a graph is captured; run the same operations at the same shapes once before");
            if (plans.Count == MostPlans)
                ForgetPlans();
            plans.Add(product, plan = Prepare(product, bias));
        }
        if (!plan.IsPossible)
            return false;
        if (product.HasBias)
            SetBias(plan.Description, bias);
        ulong output = CudaBuffer.AddressOf(d);
        float alpha = 1, beta = product.Accumulates ? 1 : 0;
        CublasLtAlgorithm algorithm = plan.Algorithm;
        int status = library.Multiply(handle, plan.Description, &alpha, CudaBuffer.AddressOf(a), plan.A, CudaBuffer.AddressOf(b), plan.B, &beta,
            output, plan.D, output, plan.D, &algorithm, (ulong)workspace.Address, (nuint)workspace.Bytes, stream.Handle);
        if (status != 0)
            throw new ElmException($"cublasLtMatmul ({product.Rows} x {product.Columns} x {product.Depth}) says {StatusName(status)} ({status}); " +
                "an earlier kernel may have failed: start again with ELM_CUDA_SYNC=1, or with ELM_CUBLASLT=off to use the project's own kernels");
        if (stream.Settle(0) != 0)
            throw new ElmException($"a kernel of cuBLASLt has failed (cublasLtMatmul, {product.Rows} x {product.Columns} x {product.Depth}); " +
                "start again with ELM_CUBLASLT=off to use the project's own kernels");
        return true;
    }

    private void ForgetPlans()
    {
        foreach (Plan plan in plans.Values)
            plan.Destroy(library);
        plans.Clear();
    }

    private void SetBias(nint description, Tensor bias)
    {
        ulong address = CudaBuffer.AddressOf(bias);
        Check(library.ProductSet(description, CublasLtLibrary.BiasPointer, &address, sizeof(ulong)), "cublasLtMatmulDescSetAttribute");
    }

    /// <summary>
    /// Describes a product to the library and asks for its best algorithm. The search takes the alignment of the bias from its address, which must
    /// therefore be there already.
    /// </summary>
    private Plan Prepare(Product product, Tensor bias)
    {
        Plan plan = new();
        nint preference = 0;
        try
        {
            int outputType = product.Output == ElementType.F32 ? CublasLtLibrary.TypeF32 : CublasLtLibrary.TypeBF16;
            int operationA = product.TransposesA ? CublasLtLibrary.Transposed : CublasLtLibrary.AsIs, operationB = CublasLtLibrary.AsIs;
            (long rowsOfA, long columnsOfA) = product.TransposesA ? (product.Depth, product.Rows) : (product.Rows, product.Depth);
            nint made;
            Check(library.ProductCreate(&made, CublasLtLibrary.ComputeF32, CublasLtLibrary.TypeF32), "cublasLtMatmulDescCreate");
            plan.Description = made;
            Check(library.ProductSet(made, CublasLtLibrary.OperationA, &operationA, sizeof(int)), "cublasLtMatmulDescSetAttribute");
            Check(library.ProductSet(made, CublasLtLibrary.OperationB, &operationB, sizeof(int)), "cublasLtMatmulDescSetAttribute");
            if (product.HasBias)
            {
                int epilogue = CublasLtLibrary.EpilogueBias;
                Check(library.ProductSet(made, CublasLtLibrary.Epilogue, &epilogue, sizeof(int)), "cublasLtMatmulDescSetAttribute");
                SetBias(made, bias);
            }
            plan.A = Layout(CublasLtLibrary.TypeBF16, rowsOfA, columnsOfA);
            plan.B = Layout(CublasLtLibrary.TypeBF16, product.Depth, product.Columns);
            plan.D = Layout(outputType, product.Rows, product.Columns);

            Check(library.PreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
            ulong bytes = (ulong)workspace.Bytes;
            Check(library.PreferenceSet(preference, CublasLtLibrary.WorkspaceBytes, &bytes, sizeof(ulong)), "cublasLtMatmulPreferenceSetAttribute");
            uint alignment = (uint)product.Alignment;
            for (int operand = 0; operand < 4; operand++)
                Check(library.PreferenceSet(preference, CublasLtLibrary.AlignmentOfA + operand, &alignment, sizeof(uint)),
                    "cublasLtMatmulPreferenceSetAttribute");
            CublasLtChoice* choices = stackalloc CublasLtChoice[Choices];
            int found = 0;
            if (library.Heuristic(handle, plan.Description, plan.A, plan.B, plan.D, plan.D, preference, Choices, choices, &found) == 0)
                for (int i = 0; i < found && !plan.IsPossible; i++)
                    if (choices[i].State == 0)
                    {
                        plan.Algorithm = choices[i].Algorithm;
                        plan.IsPossible = true;
                    }
            return plan;
        }
        catch
        {
            plan.Destroy(library);
            throw;
        }
        finally
        {
            if (preference != 0)
                library.PreferenceDestroy(preference);
        }
    }

    private nint Layout(int type, long rows, long columns)
    {
        nint made;
        Check(library.LayoutCreate(&made, type, (ulong)rows, (ulong)columns, rows), "cublasLtMatrixLayoutCreate");
        return made;
    }

    /// <summary>The largest power of two, up to 256, that divides an address, or each of several that are or-ed together.</summary>
    private static int Alignment(nint addresses)
    {
        nint bits = addresses | HighestAlignment;
        return (int)(bits & -bits);
    }

    private static void Check(int status, string call)
    {
        if (status != 0)
            throw new ElmException($"{call} says {StatusName(status)} ({status}); check the driver with nvidia-smi, or set ELM_CUBLASLT=off " +
                "to use the project's own kernels");
    }

    private static string StatusName(int status) => status switch
    {
        1 => "CUBLAS_STATUS_NOT_INITIALIZED",
        3 => "CUBLAS_STATUS_ALLOC_FAILED",
        7 => "CUBLAS_STATUS_INVALID_VALUE",
        8 => "CUBLAS_STATUS_ARCH_MISMATCH",
        11 => "CUBLAS_STATUS_MAPPING_ERROR",
        13 => "CUBLAS_STATUS_EXECUTION_FAILED",
        14 => "CUBLAS_STATUS_INTERNAL_ERROR",
        15 => "CUBLAS_STATUS_NOT_SUPPORTED",
        _ => "an unknown error",
    };

    /// <summary>What decides about an algorithm: D [rows, columns] = op(A) [rows, depth] B [depth, columns], in the library's columns.</summary>
    private readonly record struct Product(int Rows, int Columns, int Depth, bool TransposesA, ElementType Output, int AlignmentOfBias,
        bool Accumulates, int Alignment)
    {
        public bool HasBias => AlignmentOfBias != 0;
    }

    /// <summary>The library's descriptors of a product and its algorithm.</summary>
    private sealed class Plan
    {
        public nint Description, A, B, D;
        public CublasLtAlgorithm Algorithm;
        public bool IsPossible;

        public void Destroy(CublasLtLibrary library)
        {
            if (Description != 0)
                library.ProductDestroy(Description);
            foreach (nint layout in new[] { A, B, D })
                if (layout != 0)
                    library.LayoutDestroy(layout);
        }
    }
}
