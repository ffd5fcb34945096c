using System.Runtime.InteropServices;

namespace ElmNative.Compute.Cuda;

/// <summary>A way to compute a product, chosen by the library; opaque, 64 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CublasLtAlgorithm
{
    private fixed ulong data[8];
}

/// <summary>An answer to a request for algorithms: cublasLtMatmulHeuristicResult_t, 96 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CublasLtChoice
{
    public CublasLtAlgorithm Algorithm;
    public nuint WorkspaceBytes;

    /// <summary>0 where the algorithm can be used.</summary>
    public int State;
    public float Waves;
    private fixed int reserved[4];
}

/// <summary>
/// The functions of libcublasLt that the backend needs, resolved by name at run time. Descriptors are made by the Create functions only: their
/// sizes differ between versions. An attribute's size must be its exact one.
/// </summary>
internal sealed unsafe class CublasLtLibrary
{
    /// <summary>cudaDataType and cublasComputeType_t: float32, bfloat16, sums in float32.</summary>
    public const int TypeF32 = 0, TypeBF16 = 14, ComputeF32 = 68;

    /// <summary>cublasOperation_t: a matrix as it is, or transposed.</summary>
    public const int AsIs = 0, Transposed = 1;

    /// <summary>Attributes of a product: the two operations, what follows it, and the bias's address. Epilogue 4 adds a bias.</summary>
    public const int OperationA = 3, OperationB = 4, Epilogue = 7, BiasPointer = 8, EpilogueBias = 4;

    /// <summary>Attributes of a search: the workspace it may count on, and the alignments of A, B, C and D, which follow each other.</summary>
    public const int WorkspaceBytes = 1, AlignmentOfA = 5;

    public readonly delegate* unmanaged<nint*, int> Create;
    public readonly delegate* unmanaged<nint, int> Destroy;
    public readonly delegate* unmanaged<nint*, int, int, int> ProductCreate;
    public readonly delegate* unmanaged<nint, int, void*, nuint, int> ProductSet;
    public readonly delegate* unmanaged<nint, int> ProductDestroy;
    public readonly delegate* unmanaged<nint*, int, ulong, ulong, long, int> LayoutCreate;
    public readonly delegate* unmanaged<nint, int> LayoutDestroy;
    public readonly delegate* unmanaged<nint*, int> PreferenceCreate;
    public readonly delegate* unmanaged<nint, int, void*, nuint, int> PreferenceSet;
    public readonly delegate* unmanaged<nint, int> PreferenceDestroy;

    /// <summary>(library, product, A, B, C, D, preference, choices wanted, choices, choices found)</summary>
    public readonly delegate* unmanaged<nint, nint, nint, nint, nint, nint, nint, int, CublasLtChoice*, int*, int> Heuristic;

    /// <summary>(library, product, alpha, a, A, b, B, beta, c, C, d, D, algorithm, workspace, its bytes, stream)</summary>
    public readonly delegate* unmanaged<nint, nint, float*, ulong, nint, ulong, nint, float*, ulong, nint, ulong, nint, CublasLtAlgorithm*,
        ulong, nuint, nint, int> Multiply;

    private readonly nint library;

    private CublasLtLibrary(nint library)
    {
        this.library = library;
        Create = (delegate* unmanaged<nint*, int>)Symbol("cublasLtCreate");
        Destroy = (delegate* unmanaged<nint, int>)Symbol("cublasLtDestroy");
        ProductCreate = (delegate* unmanaged<nint*, int, int, int>)Symbol("cublasLtMatmulDescCreate");
        ProductSet = (delegate* unmanaged<nint, int, void*, nuint, int>)Symbol("cublasLtMatmulDescSetAttribute");
        ProductDestroy = (delegate* unmanaged<nint, int>)Symbol("cublasLtMatmulDescDestroy");
        LayoutCreate = (delegate* unmanaged<nint*, int, ulong, ulong, long, int>)Symbol("cublasLtMatrixLayoutCreate");
        LayoutDestroy = (delegate* unmanaged<nint, int>)Symbol("cublasLtMatrixLayoutDestroy");
        PreferenceCreate = (delegate* unmanaged<nint*, int>)Symbol("cublasLtMatmulPreferenceCreate");
        PreferenceSet = (delegate* unmanaged<nint, int, void*, nuint, int>)Symbol("cublasLtMatmulPreferenceSetAttribute");
        PreferenceDestroy = (delegate* unmanaged<nint, int>)Symbol("cublasLtMatmulPreferenceDestroy");
        Heuristic = (delegate* unmanaged<nint, nint, nint, nint, nint, nint, nint, int, CublasLtChoice*, int*, int>)
            Symbol("cublasLtMatmulAlgoGetHeuristic");
        Multiply = (delegate* unmanaged<nint, nint, float*, ulong, nint, ulong, nint, float*, ulong, nint, ulong, nint, CublasLtAlgorithm*,
            ulong, nuint, nint, int>)Symbol("cublasLtMatmul");
        nuint version = ((delegate* unmanaged<nuint>)Symbol("cublasLtGetVersion"))();
        Version = $"{version / 10000}.{version % 10000 / 100}.{version % 100}";
    }

    /// <summary>For example <c>13.0.2</c>.</summary>
    public string Version { get; }

    /// <summary>Loads the library from where it usually is: it is large and optional, and not always in the loader's cache.</summary>
    /// <param name="named">the file to load instead, or null</param><param name="reason">why there is none</param>
    /// <returns>null where there is none</returns>
    /// <exception cref="ElmException">the named one cannot be loaded</exception>
    public static CublasLtLibrary? Load(string? named, out string reason)
    {
        reason = "";
        if (named is not null)
            return Bind(NamedLibrary.Load(named, "ELM_CUBLASLT_LIBRARY", "the library")) ?? throw new ElmException(
                $"the library that ELM_CUBLASLT_LIBRARY names, {named}, is not cuBLASLt of CUDA 12 or newer; correct the path or unset the variable");
        foreach (string file in UsualFiles())
            if (NativeLibrary.TryLoad(file, out nint library) && Bind(library) is { } found)
                return found;
        reason = "there is no cuBLASLt here; ELM_CUBLASLT_LIBRARY may name its file";
        return null;
    }

    /// <summary>The functions of a library; null, with the library let go, where it lacks one.</summary>
    private static CublasLtLibrary? Bind(nint library)
    {
        try
        {
            return new CublasLtLibrary(library);
        }
        catch (EntryPointNotFoundException)
        {
            NativeLibrary.Free(library);
            return null;
        }
    }

    private static IEnumerable<string> UsualFiles()
    {
        string[] names = OperatingSystem.IsWindows() ? ["cublasLt64_13.dll", "cublasLt64_12.dll"]
            : ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"];
        return names.Concat(UsualFolders().SelectMany(folder => names.Select(name => Path.Combine(folder, name))));
    }

    /// <summary>The toolkit's folders, and those of the Python packages, of which a GPU machine often has no other.</summary>
    private static IEnumerable<string> UsualFolders()
    {
        string?[] toolkits = [Environment.GetEnvironmentVariable("CUDA_PATH"), Environment.GetEnvironmentVariable("CUDA_HOME"), .. HomesOf("nvcc"), "/usr/local/cuda"];
        foreach (string toolkit in toolkits.Where(folder => !string.IsNullOrEmpty(folder)).OfType<string>())
            foreach (string part in new[] { "bin", "lib64", "lib", Path.Combine("targets", "x86_64-linux", "lib") })
                yield return Path.Combine(toolkit, part);
        if (OperatingSystem.IsWindows())
            yield break;
        string?[] environments = [Environment.GetEnvironmentVariable("VIRTUAL_ENV"), Environment.GetEnvironmentVariable("CONDA_PREFIX"),
            .. HomesOf("python3"), Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local"), "/usr/local", "/usr"];
        foreach (string lib in environments.OfType<string>().Select(folder => Path.Combine(folder, "lib")).Where(Directory.Exists))
            foreach (string python in Directory.EnumerateDirectories(lib, "python3*"))
                foreach (string packages in new[] { "site-packages", "dist-packages" })
                {
                    yield return Path.Combine(python, packages, "nvidia", "cu13", "lib");
                    yield return Path.Combine(python, packages, "nvidia", "cublas", "lib");
                }
    }

    /// <summary>The folders above those of PATH that hold a program: where it lies in HOME/bin, HOME.</summary>
    private static IEnumerable<string> HomesOf(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "")
        .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
        .Where(folder => File.Exists(Path.Combine(folder, OperatingSystem.IsWindows() ? program + ".exe" : program)))
        .Select(folder => Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(folder))).OfType<string>();

    private nint Symbol(string name) => NativeLibrary.GetExport(library, name);
}
