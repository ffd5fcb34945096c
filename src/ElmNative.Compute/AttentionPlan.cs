namespace ElmNative.Compute;

/// <summary>
/// Who attends to what. A key/value store is an array of rows; a <em>segment</em> is a run of rows with at most one parent
/// segment. A query row sees every row of all its segment's ancestors, outermost first, and then the first
/// <c>visible</c> rows of its own segment. That one description serves prefill over packed rows (a prompt is a root, its completions are
/// children), decode over forked KV caches (a completion's own rows grow, the prefix is shared), and the backward pass.
/// </summary>
/// <param name="Segments">I32 [segments, 3]: first row in the store, number of rows, index of the parent or -1. Parents come before children.</param>
/// <param name="Queries">I32 [query rows, 2]: segment, and how many rows of that segment the query sees (its own row included).</param>
/// <param name="Trees">I32 [trees, 2]: first query row and number of query rows of each tree (a root with all its descendants); trees tile the
/// query rows in order. Present for prefill and training, absent for decode: a GPU chooses its kernel by it. The backward pass needs it, and there query row i is also row i of the store.</param>
/// <param name="MaxContext">The largest number of store rows that any query sees.</param>
public readonly record struct AttentionPlan(Tensor Segments, Tensor Queries, Tensor Trees, int MaxContext);

/// <summary>Shape of an attention operation: grouped-query heads of one size.</summary>
/// <param name="QueryHeads">Number of query heads; a multiple of <paramref name="KeyHeads"/>.</param>
/// <param name="KeyHeads">Number of key/value heads.</param>
/// <param name="HeadSize">Elements of a head.</param>
/// <param name="Scale">Factor on the dot products, usually 1/sqrt(HeadSize).</param>
public readonly record struct AttentionShape(int QueryHeads, int KeyHeads, int HeadSize, float Scale);
