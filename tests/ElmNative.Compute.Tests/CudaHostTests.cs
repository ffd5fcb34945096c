using ElmNative.Compute.Cpu;
using ElmNative.Compute.Cuda;
using static ElmNative.Compute.Tests.Values;

namespace ElmNative.Compute.Tests;

/// <summary>The CUDA backend as such: what it says of missing drivers, devices and kernels, its memory, its launches, its end.</summary>
[TestClass]
public sealed class CudaHostTests
{
    /// <summary>An address of no buffer.</summary>
    private const nint Nowhere = 4096;

    private static readonly string Empty = Directory.CreateTempSubdirectory("elm-kernels-").FullName;

    [ClassCleanup]
    public static void RemoveFolders() => Directory.Delete(Empty, true);

    private static string ErrorOf(Action action) => Assert.ThrowsExactly<ElmException>(action).Message;

    private static string ErrorOfOpening(CudaOptions options, int ordinal = 0) => ErrorOf(() => new CudaBackend(ordinal, options).Dispose());

    /// <summary>The options with a folder that holds one image.</summary>
    private static CudaOptions WithImage(string file, string content)
    {
        string folder = Directory.CreateDirectory(Path.Combine(Empty, Guid.NewGuid().ToString())).FullName;
        File.WriteAllText(Path.Combine(folder, file), content);
        return CudaDevice.Options with { KernelFolder = folder };
    }

    [TestMethod]
    public void AMachineWithoutADriverIsOneClearSentence()
    {
        CudaOptions nowhere = new() { DriverLibrary = "/nowhere/libcuda.so.1" };
        string sentence = ErrorOfOpening(nowhere);
        Assert.StartsWith("the CUDA driver that ELM_CUDA_LIBRARY names, /nowhere/libcuda.so.1, cannot be loaded (", sentence);
        Assert.EndsWith("); correct the path or unset the variable", sentence);
        Assert.DoesNotContain("\n", sentence);
        CudaDevices none = Cuda.CudaDevice.List(nowhere);
        Assert.IsEmpty(none.Devices);
        Assert.IsNull(none.DriverVersion);
        Assert.AreEqual(sentence, none.Explanation);
    }

    [TestMethod]
    public void ALibraryThatIsNoDriverIsNamed()
    {
        string other = Path.Combine(AppContext.BaseDirectory, "libelm_cpu.so");
        Assert.AreEqual($"the CUDA driver ({other}) lacks cuGetErrorName; install NVIDIA's driver 525 (CUDA 12.0) or newer",
            ErrorOfOpening(new() { DriverLibrary = other }));
    }

    [TestMethod, StandIn]
    public void AnOldDriverIsRefusedWithBothVersions() => StandIn.With("ELM_EMULATION_DRIVER", "11080", () =>
        Assert.AreEqual($"the CUDA driver ({CudaDevice.Options.DriverLibrary}) is of CUDA 11.8, but 12.0 is needed; install NVIDIA's driver 525 or newer",
            ErrorOfOpening(CudaDevice.Options)));

    [TestMethod, StandIn]
    public void AnOldDeviceIsRefusedWithItsCapability() => StandIn.With("ELM_EMULATION_CAPABILITY", "75", () =>
        Assert.AreEqual("cuda:0 emulation on the CPU is of compute capability 7.5, but the kernels need 8.0 or newer; choose another device or --device cpu",
            ErrorOfOpening(CudaDevice.Options)));

    [TestMethod, StandIn]
    public void AWrongOrdinalListsTheDevices()
    {
        Assert.AreEqual("there is no device cuda:1; choose cuda:0 (emulation on the CPU)", ErrorOfOpening(CudaDevice.Options, 1));
        Assert.AreEqual("there is no device cuda:-1; choose cuda:0 (emulation on the CPU)", ErrorOfOpening(CudaDevice.Options, -1));
    }

    [TestMethod, StandIn]
    public void DevicesAreListedWithTheirMemory()
    {
        CudaDevices found = Cuda.CudaDevice.List(CudaDevice.Options);
        Assert.IsNull(found.Explanation);
        Assert.AreEqual("13.0", found.DriverVersion);
        Assert.AreEqual(new Cuda.CudaDevice(0, "emulation on the CPU", 9, 0, 16L << 30, 16L << 30), found.Devices.Single());
        Assert.AreEqual("9.0", found.Devices[0].ComputeCapability);
        Assert.IsTrue(found.Devices[0].IsSupported);
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1, 2, 3);
        Cuda.CudaDevice.List(CudaDevice.Options);
        cuda.Add(x, x);
        CollectionAssert.AreEqual(new float[] { 2, 4, 6 }, cuda.Get(x));
    }

    [TestMethod]
    public void MissingKernelsSayHowToBuildThem()
    {
        string folder = Directory.CreateDirectory(Path.Combine(Empty, "nothing")).FullName;
        const string build = "build the kernels with `./build.sh build`, which needs nvcc or clang-19";
        foreach (string missing in new[] { folder, Path.Combine(folder, "not-there") })
            Assert.AreEqual($"there are no compiled CUDA kernels in {missing}; {build}, or name their folder in ELM_CUDA_KERNELS",
                ErrorOfOpening(CudaDevice.Options with { KernelFolder = missing }));
        CudaOptions foreign = WithImage("add.sm_70.cubin", "machine code");
        string error = ErrorOfOpening(foreign);
        Assert.StartsWith($"none of the 1 files in {foreign.KernelFolder} is a kernel image for ", error);
        Assert.EndsWith($"; {build}", error);
    }

    [TestMethod]
    public void PtxThatDoesNotCompileIsShownWithTheCompilersReason()
    {
        // The stand-in reads the head alone.
        CudaOptions wrong = WithImage("wrong.ptx", CudaDevice.IsReal ? ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry wrong() { no.such.instruction %r1; }\n"
            : ".version 8.0\n.target sm_120\n.address_size 64\n");
        string error = ErrorOfOpening(wrong);
        Assert.StartsWith($"the driver cannot compile {wrong.KernelFolder}{Path.DirectorySeparatorChar}wrong.ptx: cuModuleLoadDataEx says CUDA_ERROR_INVALID_PTX (218, ", error);
        Assert.Contains("): ptxas ", error);
        Assert.EndsWith("; build the kernels with `./build.sh build`, which needs nvcc or clang-19", error);
        Assert.DoesNotContain("\n", error);
    }

    [TestMethod, StandIn]
    public void ImagesOfAnotherTimeOrDeviceAreExplained()
    {
        CudaOptions newer = WithImage("new.ptx", ".version 10.0\n.target sm_80\n"), damaged = WithImage("damaged.ptx", "this is no PTX");
        string error = ErrorOfOpening(newer);
        Assert.StartsWith($"{newer.KernelFolder}/new.ptx is of a newer PTX than the driver (CUDA 13.0) knows: cuModuleLoadDataEx says " +
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION (222, ", error);
        Assert.EndsWith("); install NVIDIA's current driver", error);
        error = ErrorOfOpening(damaged);
        Assert.StartsWith($"the kernel image {damaged.KernelFolder}/damaged.ptx is damaged or not for emulation on the CPU (compute capability 9.0): " +
            "cuModuleLoadDataEx says CUDA_ERROR_INVALID_IMAGE (200, ", error);
        Assert.EndsWith("); build the kernels with `./build.sh build`, which needs nvcc or clang-19", error);
    }

    [TestMethod]
    public void AKernelThatNoImageHasIsNamed()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Assert.Contains("has the kernel no_such_kernel; the images are older than the program", ErrorOf(() => cuda.Get("no_such_kernel")));
    }

    [TestMethod]
    [DataRow(9, 0, "a.sm_90a.cubin b.sm_80.cubin c.ptx")]
    [DataRow(8, 6, "a.sm_86.cubin b.sm_80.cubin c.ptx")]
    [DataRow(8, 0, "a.sm_80.cubin b.sm_80.cubin c.ptx")]
    [DataRow(10, 0, "a.ptx b.ptx c.sm_100.ptx")]
    [DataRow(7, 5, "a.ptx b.ptx c.ptx")]
    public void TheBestImageOfEachSourceIsChosen(int major, int minor, string wanted)
    {
        string[] files = ["c.sm_100.ptx", "c.ptx", "c.sm_90a.ptx.bak", "b.ptx", "b.sm_80.cubin", "a.sm_90.cubin", "a.ptx", "a.sm_90a.cubin", "a.sm_80.cubin",
            "a.sm_86.cubin", "a.sm_100a.txt", "README.md"];
        string expected = major == 9 ? wanted.Replace("b.sm_80.cubin", "b.ptx") : wanted;
        Assert.AreEqual(expected, string.Join(' ', KernelImages.Choose(files.Select(file => "/some/folder/" + file), major, minor).Select(Path.GetFileName)));
    }

    [TestMethod, StandIn]
    public void OutOfMemorySaysWhatWasAskedForAndWhatIsThere() => StandIn.With("ELM_EMULATION_MEMORY", $"{4 << 20}", () =>
    {
        using CudaBackend cuda = CudaDevice.Open();
        Assert.AreEqual(new DeviceMemory(4 << 20, 4 << 20), cuda.Memory);
        DeviceBuffer first = cuda.Allocate(3 << 20);
        Assert.AreEqual(1L << 20, cuda.Memory!.Value.FreeBytes);
        Assert.AreEqual("out of memory on cuda:0 emulation on the CPU: 1.5 MiB were asked for, but 1 MiB of 4 MiB are free; use smaller batches or a smaller model, " +
            "or stop other programs on the device", ErrorOf(() => cuda.Allocate(3 << 19)));
        first.Dispose();
        // The memory comes free only once the queue gets there: the backend waits for it instead of giving up.
        cuda.Allocate(3 << 20).Dispose();
        Assert.Contains("4294967296 GiB were asked for", ErrorOf(() => cuda.Allocate(long.MaxValue / 2)));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => cuda.Allocate(-1));
    });

    [TestMethod]
    public void BuffersAreAlignedAndGivenBackOnce()
    {
        using CudaBackend cuda = CudaDevice.Open();
        int before = cuda.LiveBuffers;
        DeviceBuffer[] buffers = [.. new[] { 0, 1, 7, 1000 }.Select(bytes => cuda.Allocate(bytes))];
        foreach (DeviceBuffer buffer in buffers)
            Assert.AreEqual(0, buffer.Address % 256);
        Assert.AreEqual(before + buffers.Length, cuda.LiveBuffers);
        foreach (DeviceBuffer buffer in buffers)
        {
            buffer.Dispose();
            buffer.Dispose();
            Assert.AreEqual(0, buffer.Address);
        }
        Assert.AreEqual(before, cuda.LiveBuffers);
    }

    [TestMethod]
    public void DisposedAndForeignTensorsAreRefusedBeforeAKernelMeetsThem()
    {
        using CudaBackend cuda = CudaDevice.Open();
        using CpuBackend cpu = new(1);
        Tensor x = cuda.Row(1, 2), gone = cuda.Row(1, 2), foreign = cpu.Row(1, 2);
        gone.Buffer!.Dispose();
        Assert.ThrowsExactly<ObjectDisposedException>(() => cuda.Add(gone, x));
        Assert.ThrowsExactly<ObjectDisposedException>(() => cuda.Zero(gone));
        Assert.ThrowsExactly<ObjectDisposedException>(() => cuda.Upload<float>([1, 2], gone));
        Assert.ThrowsExactly<ObjectDisposedException>(() => cuda.Get(gone));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Add(foreign, x));
        Assert.ThrowsExactly<ArgumentException>(() => cuda.Zero(foreign));
        CollectionAssert.AreEqual(new float[] { 1, 2 }, cuda.Get(x));
    }

    [TestMethod]
    public void ADisposedBackendRefusesWorkAndHasGivenEverythingBack()
    {
        CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1);
        cuda.Add(x, x);
        IGraph graph = cuda.Capture(() => cuda.Add(x, x));
        cuda.Dispose();
        cuda.Dispose();
        Assert.AreEqual(0, x.Buffer!.Address);
        x.Buffer.Dispose();
        Assert.ThrowsExactly<ObjectDisposedException>(graph.Launch);
        graph.Dispose();
        Action[] uses = [() => cuda.Zero(x), () => cuda.Add(x, x), () => cuda.Allocate(1), cuda.Synchronize, () => _ = cuda.Memory, () => _ = cuda.Description,
            () => cuda.Upload<float>([1], x), () => cuda.Get(x), () => cuda.Capture(() => { }), () => cuda.Workspace(1), () => cuda.AdoptWeights(0, ElementType.F32, 1, 0, x)];
        foreach (Action use in uses)
            Assert.ThrowsExactly<ObjectDisposedException>(use);
        using CudaBackend next = CudaDevice.Open();
        CollectionAssert.AreEqual(new float[] { 3 }, next.Get(next.Row(3)));
    }

    [TestMethod]
    public void CallsMayComeFromAnyThreadAndFromTwoBackendsInTurn()
    {
        using CudaBackend one = CudaDevice.Open(), other = CudaDevice.Open();
        Tensor x = one.Row(1), y = other.Row(10);
        for (int i = 0; i < 3; i++)
        {
            Thread thread = new(() =>
            {
                one.Add(x, x);
                other.Add(y, y);
            });
            thread.Start();
            thread.Join();
            one.Add(x, x);
        }
        CollectionAssert.AreEqual(new float[] { 64 }, one.Get(x));
        CollectionAssert.AreEqual(new float[] { 80 }, other.Get(y));
    }

    [TestMethod]
    public void ALaunchWithAnotherNumberOfArgumentsIsRefused()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1);
        Assert.AreEqual("the kernel add_f32 takes more arguments than the 2 given",
            Assert.ThrowsExactly<InvalidOperationException>(() => cuda.Get("add_f32").Launch(1, 1, 0, x, x)).Message);
        Assert.AreEqual("the kernel add_f32 takes fewer arguments than the 4 given",
            Assert.ThrowsExactly<InvalidOperationException>(() => cuda.Get("add_f32").Launch(1, 1, 0, x, x, 1L, 1)).Message);
        Assert.AreEqual("cuLaunchKernel(add_f32, grid 1 x 70000 x 1, 32 threads, 0 bytes of shared memory) says CUDA_ERROR_INVALID_VALUE (1, invalid argument); " +
            "check the driver with nvidia-smi", ErrorOf(() => cuda.Get("add_f32").Launch(new(1, 70000), 32, 0, x, x, 1L)));
        Assert.StartsWith("the kernel add_f32 needs 1000000 bytes of shared memory for each block, but the device gives ",
            ErrorOf(() => cuda.Get("add_f32").Launch(1, 32, 1000000, x, x, 1L)));
        cuda.Get("add_f32").Launch(0, 32, 0, x, x, 1L);
        cuda.Get("add_f32").Launch(1, 32, 100000, x, x, 1L);
        CollectionAssert.AreEqual(new float[] { 2 }, cuda.Get(x));
    }

    [TestMethod, StandIn]
    public void ADeviceWithTooLittleSharedMemoryIsRefusedBeforeTheLaunch() => StandIn.With("ELM_EMULATION_CAPABILITY", "86", () =>
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1);
        Assert.AreEqual("the kernel add_f32 needs 101377 bytes of shared memory for each block, but the device gives 101376 at most; choose another device (an A100 or H100, say) " +
            "or --device cpu", ErrorOf(() => cuda.Get("add_f32").Launch(1, 32, 101377, x, x, 1L)));
        cuda.Get("add_f32").Launch(1, 32, 101376, x, x, 1L);
        CollectionAssert.AreEqual(new float[] { 2 }, cuda.Get(x));
    });

    [TestMethod, StandIn]
    public void AFailedKernelShowsAtTheNextWaitAndSaysHowToFindIt()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1), gone = cuda.Row(2);
        cuda.Add(x, gone);
        IGraph graph = cuda.Capture(() => cuda.Add(gone, x));
        gone.Buffer!.Dispose();
        cuda.Synchronize();
        graph.Launch();
        string error = ErrorOf(cuda.Synchronize);
        Assert.StartsWith("a CUDA kernel that was launched earlier has failed, as cuStreamSynchronize says CUDA_ERROR_ILLEGAL_ADDRESS (700, ", error);
        Assert.EndsWith("); the device's state is lost: start again with ELM_CUDA_SYNC=1, which waits for every launch and names the kernel", error);
        Assert.StartsWith("a CUDA kernel that was launched earlier has failed, as cuLaunchKernel(add_f32, ", ErrorOf(() => cuda.Add(x, x)));
        x.Buffer!.Dispose();
        cuda.Dispose();
        using CudaBackend next = CudaDevice.Open();
        CollectionAssert.AreEqual(new float[] { 3 }, next.Get(next.Row(3)));
    }

    [TestMethod, StandIn]
    public void WhereEveryLaunchWaitsAFailedKernelIsNamed()
    {
        using CudaBackend cuda = new(0, CudaDevice.Options with { WaitsForEveryLaunch = true });
        Tensor x = cuda.Row(1);
        cuda.Add(x, x);
        string error = ErrorOf(() => cuda.Get("add_f32").Launch(2, 32, 0, Nowhere, x, 1L));
        Assert.StartsWith("the CUDA kernel add_f32 has failed (grid 2 x 1 x 1, 32 threads, 0 bytes of shared memory): cuStreamSynchronize says " +
            "CUDA_ERROR_ILLEGAL_ADDRESS (700, ", error);
    }

    [TestMethod]
    public void CommonCallsAllocateNoManagedMemory()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor x = cuda.Row(1, 2, 3), y = cuda.Row(1, 2, 3);
        float[] host = new float[3];
        void Work()
        {
            for (int i = 0; i < 20; i++)
            {
                cuda.Add(x, y);
                cuda.Zero(x);
                cuda.Workspace(1000);
                cuda.Upload<float>(host, x);
            }
            cuda.Download<float>(y, host);
        }
        Work();
        using IGraph graph = cuda.Capture(() => cuda.Add(x, y));
        graph.Launch();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Work();
        graph.Launch();
        Assert.AreEqual(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [TestMethod]
    public void TheWorkspaceGrowsAndStays()
    {
        using CudaBackend cuda = CudaDevice.Open();
        Tensor small = cuda.Workspace(0), same = cuda.Workspace(1000), large = cuda.Workspace(10_000_000);
        Assert.AreSame(small.Buffer, same.Buffer);
        Assert.IsGreaterThanOrEqualTo(10_000_000, large.Columns);
        Assert.AreEqual(0, small.Buffer!.Address);
        Assert.AreSame(large.Buffer, cuda.Workspace(1).Buffer);
        Assert.AreEqual(1, cuda.LiveBuffers);
    }

    [TestMethod, StandIn]
    public void TheDescriptionNamesDeviceDriverAndDenseProducts()
    {
        using CudaBackend cuda = new(0, CudaDevice.Options with { UsesCublasLt = false });
        Assert.AreEqual("cuda:0 emulation on the CPU (compute capability 9.0, driver of CUDA 13.0), dense products by the project's own kernels (ELM_CUBLASLT is off)",
            cuda.Description);
    }
}
