namespace ElmNative.Cli.Bench.Kernels;

/// <summary>An operation at one size that can be made any number of times, each time on operands of its own.</summary>
/// <param name="Name">operation and shape</param>
/// <param name="Make">puts the operands into memory; the same values each time</param>
internal sealed record KernelCase(string Name, Func<Operands, Kernel> Make);

/// <summary>An operation on operands in memory.</summary>
/// <param name="Bytes">bytes that must move at least: every input read once (weights as the backend keeps them for products), every output written once</param>
/// <param name="Flops">arithmetic, a multiply-add counting 2</param>
/// <param name="Run">does it once</param>
/// <param name="Check">
/// does it once and compares with a plain computation in double precision, on sampled rows where the whole would take too long; returns the largest error in
/// units of what is allowed: at most 1 is right, NaN is wrong
/// </param>
internal sealed record Kernel(double Bytes, double Flops, Action Run, Func<double> Check);

/// <summary>The largest of several errors; NaN stays.</summary>
internal sealed class Worst
{
    /// <summary>The largest so far, in units of what is allowed.</summary>
    public double Value { get; private set; }

    /// <summary>Takes in |got - wanted| / allowed.</summary>
    public void Compare(double wanted, double got, double allowed)
    {
        double error = wanted == got ? 0 : Math.Abs(got - wanted) / allowed;
        if (!(error <= Value))
            Value = double.IsNaN(Value) ? Value : error;
    }

    /// <summary>Takes in something that must hold.</summary>
    public void Require(bool holds)
    {
        if (!holds)
            Value = double.PositiveInfinity;
    }
}
