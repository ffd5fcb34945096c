using ElmNative.Experience.Learning;
using ElmNative.Experience.Tests.Support;

namespace ElmNative.Experience.Tests.Learning;

[TestClass]
public sealed class MemoryInitialiserTests
{
    [TestMethod]
    public void A_short_text_is_repeated_as_a_whole_and_cut()
    {
        int[] ids = MemoryInitialiser.RepeatOrCut([1, 2, 3, 4, 5, 6, 7], 20);
        CollectionAssert.AreEqual(new[] { 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6 }, ids);
    }

    [TestMethod]
    public void A_long_text_keeps_its_head()
    {
        int[] ids = MemoryInitialiser.RepeatOrCut([.. Enumerable.Range(0, 25)], 20);
        CollectionAssert.AreEqual(Enumerable.Range(0, 20).ToArray(), ids);
    }

    [TestMethod]
    public void The_begin_token_that_a_tokenizer_adds_is_the_first_row()
    {
        FakePolicy policy = new(addsBegin: true);
        Initialisation start = MemoryInitialiser.Start(policy, "abc", 20, InitialisationKind.Text);
        CollectionAssert.AreEqual(policy.Embed([FakePolicy.BeginToken, 'a', 'b', 'c', FakePolicy.BeginToken]), start.Rows[..(5 * policy.HiddenSize)]);
        Assert.AreEqual(1, start.SpecialRows);
        Assert.AreEqual(0, MemoryInitialiser.Start(new FakePolicy(), "abc", 20, InitialisationKind.Text).SpecialRows);
    }

    [TestMethod]
    public void Bins_are_contiguous_means_of_the_whole_question()
    {
        float[] vectors = [1, 10, 2, 20, 3, 30, 4, 40, 5, 50];
        CollectionAssert.AreEqual(new float[] { 1.5f, 15, 4, 40 }, MemoryInitialiser.Pool(vectors, 2, 2));
        CollectionAssert.AreEqual(new float[] { 1, 10, 1, 10, 2, 20 }, MemoryInitialiser.Pool(vectors.AsSpan(0, 4), 2, 3));
    }

    [TestMethod]
    public void The_automatic_step_size_of_the_bundled_model_is_two_hundredths()
    {
        Assert.AreEqual(0.02, TrainingSettings.AutoLearningRate(0.14721));
        Assert.AreEqual(0.02, new TrainingSettings().Resolve(new FakePolicy()).LearningRate);
        Assert.AreEqual(0.0074, Presets.PaperQwen.Resolve(new FakePolicy()).LearningRate);
    }
}
