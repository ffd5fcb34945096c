using System.Globalization;
using ElmNative.Compute;
using ElmNative.Transformers.Checkpoints;

namespace ElmNative.Cli.Bench;

/// <summary>What a table says of a model.</summary>
/// <param name="Name">the folder's name</param>
/// <param name="Parameters">number of stored weights</param>
/// <param name="Bytes">their size as stored</param>
/// <param name="Type">element types, the one with most bytes first</param>
internal sealed record ModelFacts(string Name, long Parameters, long Bytes, string Type)
{
    /// <summary>Reads headers only.</summary>
    /// <exception cref="ElmException">the folder cannot be opened as a model</exception>
    public static ModelFacts Of(string name, string folder)
    {
        using Checkpoint checkpoint = Checkpoint.Open(folder);
        StoredTensor[] tensors = [.. RandomCheckpoint.TensorsOf(checkpoint.Config).Select(tensor => checkpoint.Get(tensor.Name, tensor.Shape))];
        IEnumerable<ElementType> types = tensors.GroupBy(tensor => tensor.Type).OrderByDescending(group => group.Sum(tensor => tensor.Bytes)).Select(group => group.Key);
        return new ModelFacts(name, tensors.Sum(tensor => tensor.Count), tensors.Sum(tensor => tensor.Bytes), string.Join('+', types));
    }

    /// <summary>A model of random weights in a released model's shape.</summary>
    /// <exception cref="ElmException">there is no shape of that name</exception>
    public static ModelFacts OfShape(string name)
    {
        long parameters = RandomCheckpoint.TensorsOf(ModelShapes.Config(name)).Sum(tensor => tensor.Shape.Aggregate(1L, (count, size) => count * size));
        return new ModelFacts($"{name}, random", parameters, parameters * ElementType.BF16.Size(), nameof(ElementType.BF16));
    }

    /// <summary>Parameters in the unit of their magnitude: 494.03 M.</summary>
    public string ParameterText => Scaled(Parameters, 1000, ["", " K", " M", " B"]);

    /// <summary>Size in binary units: 942.31 MiB.</summary>
    public string SizeText => Scaled(Bytes, 1024, [" B", " KiB", " MiB", " GiB"]);

    private static string Scaled(double value, double step, string[] units)
    {
        int unit = 0;
        for (; value >= step && unit < units.Length - 1; unit++)
            value /= step;
        return value.ToString(unit == 0 ? "0" : "0.00", CultureInfo.InvariantCulture) + units[unit];
    }
}
