namespace ElmNative.Compute;

/// <summary>Operations kept to be launched again; made by <see cref="IBackend.Capture"/>. The tensors that they use must outlive it.</summary>
public interface IGraph : IDisposable
{
    /// <summary>Queues the operations once more, in their order.</summary>
    void Launch();
}
