using ElmNative.Compute;
using ElmNative.Compute.Cpu;
using ElmNative.Transformers.Checkpoints;
using ElmNative.Transformers.Models;
using static ElmNative.Transformers.Tests.Models.SmallModels;

namespace ElmNative.Transformers.Tests.Models;

[TestClass]
public class PackedPassTests
{
    private static PackedTree[] Trees(LanguageModel model) =>
    [
        new(SoftPrompt(model, 5, 1), Ids(model, 9, 2), [Ids(model, 4, 3), Ids(model, 1, 4), Ids(model, 7, 5)]),
        new([], Ids(model, 3, 6), [Ids(model, 6, 7)]),
        new(SoftPrompt(model, 1, 8), Ids(model, 1, 9), [Ids(model, 2, 10), Ids(model, 2, 11)]),
    ];

    private static float[][][] Slopes(PackedPass pass, int seed) =>
        pass.LogProbs.Select((tree, t) => tree.Select((completion, c) =>
        {
            Random random = new(HashCode.Combine(seed, t));
            return completion.Select((_, i) => (float)Math.Sin(seed + 3 * c + i)).ToArray();
        }).ToArray()).ToArray();

    [TestMethod]
    public void TreesTogetherGiveTheBitsOfEachAlone() => With(Repository.TinyMath, 2, model =>
    {
        PackedTree[] trees = Trees(model);
        using PackedPass together = model.Forward(trees, 0.7f, keepForBackward: true);
        float[][][] slopes = Slopes(together, 1);
        float[][] gradients = together.Backward(slopes);
        for (int t = 0; t < trees.Length; t++)
        {
            using PackedPass alone = model.Forward([trees[t]], 0.7f, keepForBackward: true);
            for (int c = 0; c < trees[t].Completions.Count; c++)
            {
                CollectionAssert.AreEqual(alone.LogProbs[0][c], together.LogProbs[t][c]);
                CollectionAssert.AreEqual(alone.Entropies[0][c], together.Entropies[t][c]);
            }
            CollectionAssert.AreEqual(alone.Backward([slopes[t]])[0], gradients[t]);
        }
    });

    [TestMethod]
    public void ACompletionMayAsWellBePartOfThePrompt() => With(Repository.Golden("llama-tiny/model"), 1, model =>
    {
        int[] ids = Ids(model, 20, 1);
        float[] memory = SoftPrompt(model, 4, 2);
        using PackedPass split = model.Forward([new(memory, ids[..6], [ids[6..]])], 1f, keepForBackward: false);
        using PackedPass later = model.Forward([new(memory, ids[..13], [ids[13..]])], 1f, keepForBackward: false);
        CollectionAssert.AreEqual(later.LogProbs[0][0], split.LogProbs[0][0][7..]);
    });

    [TestMethod]
    [DataRow(SmallModels.Qwen3)]
    [DataRow(SmallModels.Qwen2Half)]
    public void RecomputingLayersChangesNoBit(string config) => WithRandom(config, ElementType.F16, model =>
    {
        PackedTree[] trees = Trees(model);
        using PackedPass kept = model.Forward(trees, 0.9f, keepForBackward: true), recomputed = model.Forward(trees, 0.9f, keepForBackward: true, activationMemory: 1);
        float[][] expected = kept.Backward(Slopes(kept, 5)), actual = recomputed.Backward(Slopes(recomputed, 5));
        for (int t = 0; t < trees.Length; t++)
        {
            CollectionAssert.AreEqual(kept.LogProbs[t][0], recomputed.LogProbs[t][0]);
            CollectionAssert.AreEqual(expected[t], actual[t]);
        }
    });

    /// <summary>BF16 activations, as a GPU keeps them, in families without golden values: recomputed layers give the same bits, and log-probabilities and gradients are near those of F32.</summary>
    [TestMethod]
    [DataRow(SmallModels.Qwen3)]
    [DataRow(SmallModels.Qwen2Half)]
    public void RoundedActivationsAreNearAndRecomputeTheirBits(string config)
    {
        (float[][][][] LogProbs, float[][][] Gradients) Run(IBackend backend)
        {
            using (backend)
            {
                using LanguageModel model = LanguageModel.Random(ModelShapes.Parse(config, "small"), backend, seed: 2);
                PackedTree[] trees = Trees(model);
                using PackedPass kept = model.Forward(trees, 0.9f, keepForBackward: true), recomputed = model.Forward(trees, 0.9f, keepForBackward: true, activationMemory: 1);
                return ([kept.LogProbs, recomputed.LogProbs], [kept.Backward(Slopes(kept, 5)), recomputed.Backward(Slopes(recomputed, 5))]);
            }
        }
        (float[][][][] logProbs, float[][][] gradients) = Run(new CpuBackend(2));
        (float[][][][] roundedLogProbs, float[][][] roundedGradients) = Run(new ContractBackend(new CpuBackend(2)));
        for (int t = 0; t < gradients[0].Length; t++)
        {
            CollectionAssert.AreEqual(roundedLogProbs[0][t][0], roundedLogProbs[1][t][0]);
            CollectionAssert.AreEqual(roundedGradients[0][t], roundedGradients[1][t]);
            for (int c = 0; c < logProbs[0][t].Length; c++)
                for (int i = 0; i < logProbs[0][t][c].Length; i++)
                    Assert.AreEqual(logProbs[0][t][c][i], roundedLogProbs[0][t][c][i], 0.05f);
            double squares = gradients[0][t].Sum(g => (double)g * g), errors = gradients[0][t].Zip(roundedGradients[0][t], (a, b) => ((double)a - b) * ((double)a - b)).Sum();
            Assert.IsTrue(t == 1 || Math.Sqrt(errors / squares) is > 1e-4 and < 5e-2, $"tree {t}: {Math.Sqrt(errors / squares):e2}");
        }
    }

    [TestMethod]
    public void ThreadsChangeNoBit()
    {
        float[][]? first = null;
        float[][][]? firstLogProbs = null;
        foreach (int threads in new[] { 1, 2, 3 })
            With(Repository.TinyMath, threads, model =>
            {
                using PackedPass pass = model.Forward(Trees(model), 1f, keepForBackward: true);
                float[][] gradients = pass.Backward(Slopes(pass, 2));
                first ??= gradients;
                firstLogProbs ??= pass.LogProbs;
                for (int t = 0; t < gradients.Length; t++)
                {
                    CollectionAssert.AreEqual(first[t], gradients[t]);
                    for (int c = 0; c < pass.LogProbs[t].Length; c++)
                        CollectionAssert.AreEqual(firstLogProbs[t][c], pass.LogProbs[t][c]);
                }
            });
    }

    [TestMethod]
    public void ASecondPassReusesBuffersAndRepeatsItself() => With(Repository.TinyMath, 2, model =>
    {
        float[][] Gradients()
        {
            using PackedPass pass = model.Forward(Trees(model), 1f, keepForBackward: true);
            return pass.Backward(Slopes(pass, 3));
        }
        float[][] before = Gradients();
        using (model.Forward([new([], Ids(model, 40, 1), [Ids(model, 30, 2)])], 1f, keepForBackward: true)) { }
        float[][] after = Gradients();
        for (int t = 0; t < before.Length; t++)
            CollectionAssert.AreEqual(before[t], after[t]);
    });

    /// <summary>Families without golden values: the gradient along random directions against central differences of the loss.</summary>
    [TestMethod]
    [DataRow(SmallModels.Qwen3, ElementType.F32)]
    [DataRow(SmallModels.Qwen3, ElementType.BF16)]
    [DataRow(SmallModels.Qwen2Half, ElementType.F16)]
    public void TheGradientIsTheSlopeOfTheLoss(string config, ElementType type) => WithRandom(config, type, model =>
    {
        const float temperature = 0.8f;
        float[] memory = SoftPrompt(model, 6, 1);
        PackedTree tree = new(memory, Ids(model, 5, 2), [Ids(model, 8, 3), Ids(model, 3, 4)]);
        using PackedPass pass = model.Forward([tree], temperature, keepForBackward: true);
        float[][][] slopes = Slopes(pass, 4);
        float[] gradient = pass.Backward(slopes)[0];

        double Loss(float[] rows)
        {
            using PackedPass moved = model.Forward([tree with { SoftPrompt = rows }], temperature, keepForBackward: false);
            return moved.LogProbs[0].Zip(slopes[0], (l, s) => l.Zip(s, (x, y) => (double)x * y).Sum()).Sum();
        }

        for (int direction = 0; direction < 6; direction++)
        {
            Random random = new(direction);
            double[] step = gradient.Select(_ => random.NextDouble() * 2 - 1).ToArray();
            double predicted = gradient.Zip(step, (g, s) => g * s).Sum();
            double scale = 3e-3 * model.EmbeddingRms;
            double up = Loss(memory.Zip(step, (m, s) => (float)(m + scale * s)).ToArray()), down = Loss(memory.Zip(step, (m, s) => (float)(m - scale * s)).ToArray());
            double measured = (up - down) / (2 * scale);
            double size = Math.Sqrt(gradient.Sum(g => (double)g * g) * step.Sum(s => s * s) / gradient.Length);
            Assert.AreEqual(predicted, measured, 0.01 * size, $"direction {direction}, typical size {size}");
        }
    });

    [TestMethod]
    public void EveryCompletionMovesTheSharedPrefix() => With(Repository.TinyMath, 2, model =>
    {
        PackedTree tree = Trees(model)[0];
        float[] all = Gradient(tree, [0, 1, 2]), sum = new float[all.Length];
        for (int c = 0; c < 3; c++)
            foreach ((int i, float g) in Gradient(tree, [c]).Index())
                sum[i] += g;
        double difference = Math.Sqrt(all.Zip(sum, (a, b) => Math.Pow(a - b, 2)).Sum() / all.Sum(a => (double)a * a));
        Assert.IsLessThan(1e-5, difference);

        float[] Gradient(PackedTree t, int[] completions)
        {
            using PackedPass pass = model.Forward([t with { Completions = completions.Select(c => t.Completions[c]).ToArray() }], 1f, keepForBackward: true);
            return pass.Backward([pass.LogProbs[0].Select(l => l.Select(_ => 1f).ToArray()).ToArray()])[0];
        }
    });

    [TestMethod]
    public void ALargeMemoryChangesWhatTheModelSays() => With(Repository.TinyMath, 2, model =>
    {
        int[] prompt = Ids(model, 8, 1), completion = Ids(model, 5, 2);
        using PackedPass plain = model.Forward([new([], prompt, [completion])], 1f, keepForBackward: false);
        using PackedPass led = model.Forward([new(SoftPrompt(model, 20, 3), prompt, [completion])], 1f, keepForBackward: false);
        CollectionAssert.AreNotEqual(plain.LogProbs[0][0], led.LogProbs[0][0]);
    });

    [TestMethod]
    public void WhatDoesNotFitIsRefused() => With(Repository.TinyMath, 1, model =>
    {
        ElmException tooLong = Assert.ThrowsExactly<ElmException>(() => model.Forward([new([], Ids(model, 1000, 1), [Ids(model, 30, 2)])], 1f, false));
        StringAssert.Contains(tooLong.Message, "context of 1024");
        ElmException unknown = Assert.ThrowsExactly<ElmException>(() => model.Forward([new([], [719], [[1]])], 1f, false));
        StringAssert.Contains(unknown.Message, "token id 719");
        Assert.ThrowsExactly<ArgumentException>(() => model.Forward([new([], [], [[1]])], 1f, false));
        Assert.ThrowsExactly<ArgumentException>(() => model.Forward([new([], [1], [[]])], 1f, false));
        using PackedPass light = model.Forward([new([], [1], [[2]])], 1f, keepForBackward: false);
        Assert.ThrowsExactly<InvalidOperationException>(() => light.Backward([[[1f]]]));
    });
}
