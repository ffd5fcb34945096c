using ElmNative.Experience.Memories;
using ElmNative.Experience.Learning;
using ElmNative.Experience.Tests.Support;

namespace ElmNative.Experience.Tests.Memories;

[TestClass]
public sealed class RetrievalTests
{
    [TestMethod]
    public void The_earliest_of_equally_similar_memories_wins_and_later_ones_are_not_seen()
    {
        List<Memory> memories = [Key(0, 1), Key(2, 2), Key(1, 1), Key(5, 0)];
        Assert.AreEqual(1, Retrieval.Nearest(memories, RetrievalKind.Input, [3, 3], 1, limit: 3)!.Value.Index);
        Assert.AreEqual(1.0, Retrieval.Nearest(memories, RetrievalKind.Input, [3, 3], 1, limit: 3)!.Value.Similarity, 1e-15);
        Assert.AreEqual(0, Retrieval.Nearest(memories, RetrievalKind.Input, [1, 0], 1, limit: 1)!.Value.Index);
        Assert.AreEqual(3, Retrieval.Nearest(memories, RetrievalKind.Input, [1, 0], 1, limit: 4)!.Value.Index);
        Assert.IsNull(Retrieval.Nearest(memories, RetrievalKind.Input, [1, 0], 1, limit: 0));
    }

    [TestMethod]
    public void A_key_without_direction_never_wins()
    {
        // Against the query, the only sound key points the other way: a score of 0 for the others would beat it.
        List<Memory> memories = [Key(0, 0), Key(float.NaN, 1), Key(float.PositiveInfinity, 0), Key(-1, 0)];
        Match match = Retrieval.Nearest(memories, RetrievalKind.Input, [1, 0], 1, limit: 4)!.Value;
        Assert.AreEqual(3, match.Index);
        Assert.AreEqual(-1.0, match.Similarity);
        Assert.IsNull(Retrieval.Nearest(memories, RetrievalKind.Input, [0, 0], 1, limit: 4));
        Assert.IsNull(Retrieval.Nearest(memories[..3], RetrievalKind.Input, [1, 0], 1, limit: 3));
    }

    [TestMethod]
    public void Similarity_of_several_terms_is_the_mean_of_their_cosines()
    {
        Assert.AreEqual((1.0 - 1.0 + 0.6) / 3, Retrieval.Similarity([1, 0, 0, 2, 3, 4], [5, 0, 0, -1, 1, 0], 3)!.Value, 1e-15);
        Assert.AreEqual(1.0 / 3, Retrieval.Similarity([1, 0, 0, 0, 3, 4], [5, 0, 0, -1, 0, 0], 3)!.Value, 1e-15);
        Assert.IsNull(Retrieval.Similarity([0, 0, 1, 1], [1, 1, 0, 0], 2));
    }

    [TestMethod]
    [DataRow(false, 20)]
    [DataRow(true, 19)]
    public void An_untrained_memory_of_exactly_its_question_has_cosine_one(bool addsBegin, int length)
    {
        FakePolicy policy = new(addsBegin);
        string question = "abcdefghijklmnopqrst"[..length];
        Initialisation start = MemoryInitialiser.Start(policy, question, 20, InitialisationKind.Text);
        float[] key = Retrieval.Mean(start.Rows.AsSpan(start.SpecialRows * policy.HiddenSize), policy.HiddenSize);
        Assert.AreEqual(1.0, Retrieval.Similarity(Retrieval.Queries(policy, RetrievalKind.Input, [question])[0], key, 1)!.Value, 1e-12);
    }

    private static Memory Key(float x, float y) =>
        new([x, y], [x, y], [], new Provenance("p", null, 0, null, null, 0, 0, "", "", "{}"));
}
