using System.Globalization;
using System.Text;

namespace ElmNative.Transformers.Tokenization.Jinja;

/// <summary>Python's semantics of values: truth, printing, equality, order and arithmetic.</summary>
internal static class Operations
{
    private const int DeepestValue = 100;

    /// <summary>Whether a value counts as true.</summary>
    public static bool Truth(object? value) => value switch
    {
        null or JinjaUndefined => false,
        bool truth => truth,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        JinjaList list => list.Items.Count > 0,
        JinjaMap map => map.Entries.Count > 0,
        _ => true,
    };

    /// <summary>Python's name of a value's type.</summary>
    public static string TypeName(object? value) => value switch
    {
        null => "NoneType",
        bool => "bool",
        long => "int",
        double => "float",
        string => "str",
        JinjaList list => list.IsTuple ? "tuple" : "list",
        JinjaMap => "dict",
        JinjaUndefined => "undefined value",
        JinjaNamespace => "namespace",
        LoopState => "loop",
        _ => "function",
    };

    /// <summary>str of a value.</summary>
    public static string Print(object? value, Budget budget)
    {
        if (value is string text)
            return text;
        if (value is JinjaUndefined)
            return "";
        StringBuilder result = new();
        Represent(value, result, budget, 0);
        return result.ToString();
    }

    /// <summary>repr of a value.</summary>
    public static string Represent(object? value, Budget budget)
    {
        StringBuilder result = new();
        Represent(value, result, budget, 0);
        return result.ToString();
    }

    private static void Represent(object? value, StringBuilder result, Budget budget, int depth)
    {
        if (depth > DeepestValue)
            throw new JinjaError("a value nests too deeply");
        budget.Take(1);
        switch (value)
        {
            case null:
                result.Append("None");
                break;
            case bool truth:
                result.Append(truth ? "True" : "False");
                break;
            case long number:
                result.Append(CultureInfo.InvariantCulture, $"{number}");
                break;
            case double number:
                result.Append(PythonText.Float(number));
                break;
            case string text:
                budget.TakeText(text.Length * 4L);
                result.Append(PythonText.Quoted(text));
                break;
            case JinjaUndefined:
                result.Append("Undefined");
                break;
            case JinjaList list:
                result.Append(list.IsTuple ? '(' : '[');
                for (int i = 0; i < list.Items.Count; i++)
                {
                    result.Append(i > 0 ? ", " : "");
                    Represent(list.Items[i], result, budget, depth + 1);
                }
                result.Append(list.IsTuple ? list.Items.Count == 1 ? ",)" : ")" : "]");
                break;
            case JinjaMap map:
                result.Append('{');
                for (int i = 0; i < map.Entries.Count; i++)
                {
                    result.Append(i > 0 ? ", " : "");
                    Represent(map.Entries[i].Key, result, budget, depth + 1);
                    result.Append(": ");
                    Represent(map.Entries[i].Value, result, budget, depth + 1);
                }
                result.Append('}');
                break;
            default:
                throw new JinjaError($"a {TypeName(value)} cannot be printed");
        }
    }

    /// <summary>==</summary>
    public static bool AreEqual(object? left, object? right, Budget budget) => AreEqual(left, right, budget, 0);

    private static bool AreEqual(object? left, object? right, Budget budget, int depth)
    {
        if (depth > DeepestValue)
            throw new JinjaError("a value nests too deeply");
        budget.Take(1);
        if (IsNumber(left) && IsNumber(right))
            return left is double || right is double ? ToDouble(left) == ToDouble(right) : ToLong(left) == ToLong(right);
        switch (left, right)
        {
            case (string a, string b):
                if (a.Length == b.Length)
                    budget.TakeText(a.Length);
                return string.Equals(a, b, StringComparison.Ordinal);
            case (JinjaUndefined, JinjaUndefined):
                return true;
            case (JinjaList a, JinjaList b):
                if (a.IsTuple != b.IsTuple || a.Items.Count != b.Items.Count)
                    return false;
                for (int i = 0; i < a.Items.Count; i++)
                    if (!AreEqual(a.Items[i], b.Items[i], budget, depth + 1))
                        return false;
                return true;
            case (JinjaMap a, JinjaMap b):
                if (a.Entries.Count != b.Entries.Count)
                    return false;
                foreach ((object? key, object? value) in a.Entries)
                    if (!b.TryGet(key, out object? other) || !AreEqual(value, other, budget, depth + 1))
                        return false;
                return true;
            default:
                return ReferenceEquals(left, right);
        }
    }

    /// <summary>Order of two values.</summary>
    /// <exception cref="JinjaError">they have none</exception>
    public static int Compare(object? left, object? right, Budget budget, int depth = 0)
    {
        if (depth > DeepestValue)
            throw new JinjaError("a value nests too deeply");
        budget.Take(1);
        CheckDefined(left);
        CheckDefined(right);
        if (IsNumber(left) && IsNumber(right))
            return left is double || right is double ? ToDouble(left).CompareTo(ToDouble(right)) : ToLong(left).CompareTo(ToLong(right));
        if (left is string a && right is string b)
        {
            budget.TakeText(Math.Min(a.Length, b.Length));
            return PythonText.Compare(a, b);
        }
        if (left is JinjaList first && right is JinjaList second && first.IsTuple == second.IsTuple)
        {
            for (int i = 0; i < Math.Min(first.Items.Count, second.Items.Count); i++)
                if (!AreEqual(first.Items[i], second.Items[i], budget))
                    return Compare(first.Items[i], second.Items[i], budget, depth + 1);
            return first.Items.Count.CompareTo(second.Items.Count);
        }
        throw new JinjaError($"a {TypeName(left)} and a {TypeName(right)} have no order");
    }

    /// <summary>in</summary>
    public static bool Contains(object? container, object? item, Budget budget)
    {
        switch (container)
        {
            case string text:
                CheckDefined(item);
                string needle = item as string ?? throw new JinjaError($"a {TypeName(item)} cannot be in a string");
                budget.TakeSearch(text, needle);
                return text.Contains(needle, StringComparison.Ordinal);
            case JinjaMap map:
                return map.TryGet(item, out _);
            default:
                foreach (object? element in Iterate(container, budget))
                    if (AreEqual(element, item, budget))
                        return true;
                return false;
        }
    }

    /// <summary>The items that a loop over the value meets: keys of a map, characters of a string.</summary>
    /// <exception cref="JinjaError">it has none</exception>
    public static IReadOnlyList<object?> Iterate(object? value, Budget budget)
    {
        switch (value)
        {
            case JinjaList list:
                return list.Items;
            case JinjaMap map:
                budget.Take(map.Entries.Count);
                return [.. map.Entries.Select(entry => entry.Key)];
            case string text:
                budget.Take(2L * text.Length);
                return PythonText.Characters(text);
            case JinjaUndefined:
                return [];
            default:
                throw new JinjaError($"a {TypeName(value)} cannot be looped over");
        }
    }

    /// <summary>Arithmetic and string operators.</summary>
    public static object? Binary(string operation, object? left, object? right, Budget budget)
    {
        CheckDefined(left);
        CheckDefined(right);
        if (IsNumber(left) && IsNumber(right))
            return left is double || right is double || operation == "/"
                ? Floating(operation, ToDouble(left), ToDouble(right))
                : Whole(operation, ToLong(left), ToLong(right));
        switch (operation, left, right)
        {
            case ("+", string a, string b):
                budget.TakeText((long)a.Length + b.Length);
                return a + b;
            case ("+", JinjaList a, JinjaList b) when a.IsTuple == b.IsTuple:
                budget.Take(a.Items.Count + b.Items.Count);
                return new JinjaList([.. a.Items, .. b.Items], a.IsTuple);
            case ("*", string or JinjaList, long or bool):
                return Repeat(left, ToLong(right), budget);
            case ("*", long or bool, string or JinjaList):
                return Repeat(right, ToLong(left), budget);
            case ("%", string format, _):
                return Formatting.Percent(format, right, budget);
        }
        throw new JinjaError($"'{operation}' cannot be used on a {TypeName(left)} and a {TypeName(right)}");
    }

    /// <summary>Unary minus and plus.</summary>
    public static object? Signed(bool negative, object? value)
    {
        CheckDefined(value);
        if (value is double number)
            return negative ? -number : number;
        if (!IsNumber(value))
            throw new JinjaError($"a {TypeName(value)} has no sign");
        return negative ? Whole("-", 0, ToLong(value)) : ToLong(value);
    }

    /// <summary>Refuses an undefined value.</summary>
    public static void CheckDefined(object? value)
    {
        if (value is JinjaUndefined undefined)
            throw new JinjaError(undefined.What);
    }

    /// <summary>Whether a value is a number; true and false are.</summary>
    public static bool IsNumber(object? value) => value is long or double or bool;

    /// <summary>A number as a float.</summary>
    public static double ToDouble(object? value) => value switch { double number => number, long number => number, bool truth => truth ? 1 : 0, _ => 0 };

    private static long ToLong(object? value) => value switch { long number => number, bool truth => truth ? 1 : 0, _ => 0 };

    private static object Repeat(object? value, long count, Budget budget)
    {
        count = Math.Max(count, 0);
        if (value is string text)
        {
            Int128 length = (Int128)text.Length * count;
            budget.TakeText(length > int.MaxValue ? long.MaxValue / 2 : (long)length);
            return text.Length == 0 ? "" : new StringBuilder(text.Length * (int)count).Insert(0, text, (int)count).ToString();
        }
        JinjaList list = (JinjaList)value!;
        Int128 items = (Int128)list.Items.Count * count;
        budget.Take(items > int.MaxValue ? long.MaxValue / 2 : (long)items);
        List<object?> repeated = new((int)items);
        for (long i = 0; i < count && list.Items.Count > 0; i++)
            repeated.AddRange(list.Items);
        return new JinjaList(repeated, list.IsTuple);
    }

    private static object Floating(string operation, double a, double b)
    {
        if (b == 0 && operation is "/" or "//" or "%")
            throw new JinjaError("a division by zero");
        return operation switch
        {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" => a / b,
            "//" => Math.Floor(a / b),
            "%" => a - b * Math.Floor(a / b),
            _ => Math.Pow(a, b),
        };
    }

    private static object Whole(string operation, long a, long b)
    {
        try
        {
            return operation switch
            {
                "+" => (object)checked(a + b),
                "-" => checked(a - b),
                "*" => checked(a * b),
                "//" or "%" when b == 0 => throw new JinjaError("a division by zero"),
                "//" => checked(a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0)),
                "%" => b == -1 ? 0L : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0),
                _ => b < 0 ? Math.Pow(a, b) : (object)Power(a, b),
            };
        }
        catch (OverflowException)
        {
            throw new JinjaError("a whole number grows too large");
        }
    }

    private static long Power(long number, long exponent)
    {
        long result = 1;
        for (; exponent > 0; exponent >>= 1)
        {
            if ((exponent & 1) != 0)
                result = checked(result * number);
            if (exponent > 1)
                number = checked(number * number);
        }
        return result;
    }
}
