namespace ElmNative.Transformers.Tests.Tokenization;

/// <summary>A temporary folder with a tokenizer_config.json.</summary>
internal sealed class TemplateFolder : IDisposable
{
    public TemplateFolder(string config) => Write("tokenizer_config.json", config);

    public string Path { get; } = Directory.CreateTempSubdirectory("elm-tokens-").FullName;

    public void Write(string name, string text) => File.WriteAllText(System.IO.Path.Combine(Path, name), text);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
