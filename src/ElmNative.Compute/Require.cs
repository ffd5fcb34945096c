using System.Runtime.CompilerServices;

namespace ElmNative.Compute;

/// <summary>Checks of shapes and types. A failure is a bug of the caller: an <see cref="ArgumentException"/> that names the
/// tensor.</summary>
internal static class Require
{
    /// <summary>A type and a shape.</summary>
    public static void Shape(Tensor x, ElementType type, int rows, int columns, [CallerArgumentExpression(nameof(x))] string name = "")
    {
        if (!x.IsPresent || x.Type != type || x.Rows != rows || x.Columns != columns)
            Fail(x, $"{type} [{rows}, {columns}]", name);
    }

    /// <summary>Any float type and a shape.</summary>
    public static void Floats(Tensor x, int rows, int columns, [CallerArgumentExpression(nameof(x))] string name = "")
    {
        if (!x.IsPresent || x.Type == ElementType.I32 || x.Rows != rows || x.Columns != columns)
            Fail(x, $"[{rows}, {columns}] of a float type", name);
    }

    /// <summary>F32 of any shape.</summary>
    public static void F32(Tensor x, [CallerArgumentExpression(nameof(x))] string name = "")
    {
        if (!x.IsPresent || x.Type != ElementType.F32)
            Fail(x, "F32", name);
    }

    /// <summary>A span of exactly the tensor's size.</summary>
    public static void Bytes(long span, long tensor, string name)
    {
        if (span != tensor)
            throw new ArgumentException($"the span has {span} bytes, the tensor {tensor}", name);
    }

    /// <summary>A part that divides the columns of a tensor.</summary>
    public static void Divides(int part, int columns, [CallerArgumentExpression(nameof(part))] string name = "")
    {
        if (part <= 0 || columns % part != 0)
            throw new ArgumentException($"{name} is {part}, which does not divide {columns} columns", name);
    }

    /// <summary>A property of an argument; the sentence is a constant, so that a check that holds allocates nothing.</summary>
    public static void That(bool holds, string sentence, string name)
    {
        if (!holds)
            throw new ArgumentException(sentence, name);
    }

    private static void Fail(Tensor x, string wanted, string name) =>
        throw new ArgumentException(x.IsPresent ? $"{name} is {x.Type} [{x.Rows}, {x.Columns}], but must be {wanted}"
            : $"{name} is absent, but must be {wanted}", name);
}
