// A gate on inline PTX: no compiler here reads what stands inside an asm statement. Lists the templates in compiled kernels, with operands made alike, and fails on one that is not in the
// committed list.
//   ptx_templates LIST FOLDER [--write]
// --write prints the list's lines for the folder instead. Exit status 77: there is no PTX in the folder.
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

/// Registers become %, numbers that operands were given become #, white space becomes one blank. Digits inside a name (.m8n8, .f32) stay.
std::string normalised(const std::string& line) {
  std::string result;
  for (size_t i = 0; i < line.size();) {
    const char c = line[i];
    if (std::isspace(static_cast<unsigned char>(c))) {
      if (!result.empty() && result.back() != ' ')
        result += ' ';
      i++;
    } else if (c == '%') {
      result += '%';
      for (i++; i < line.size() && (std::isalnum(static_cast<unsigned char>(line[i])) || line[i] == '_'); i++) {}
    } else if (std::isdigit(static_cast<unsigned char>(c)) && (result.empty() || (!std::isalnum(static_cast<unsigned char>(result.back())) && result.back() != '.' && result.back() != '_'))) {
      result += '#';
      for (; i < line.size() && std::isalnum(static_cast<unsigned char>(line[i])); i++) {}
    } else {
      result += c;
      i++;
    }
  }
  while (!result.empty() && result.back() == ' ')
    result.pop_back();
  return result;
}

std::string trimmed(const std::string& line) {
  const size_t first = line.find_first_not_of(" \t\r"), last = line.find_last_not_of(" \t\r");
  return first == std::string::npos ? "" : line.substr(first, last - first + 1);
}

/// Templates of a PTX file: what stands between the compiler's marks.
void collect(const std::filesystem::path& path, std::map<std::string, std::string>& found) {
  std::ifstream file(path);
  std::string line, text;
  bool inside = false;
  while (std::getline(file, line)) {
    line = trimmed(line);
    if (line == "// begin inline asm") {
      inside = true;
      text.clear();
    } else if (line == "// end inline asm") {
      inside = false;
      if (!text.empty())
        found.emplace(text, path.filename().string());
    } else if (inside && !line.empty())
      text += (text.empty() ? "" : " ") + normalised(line);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: ptx_templates LIST FOLDER [--write]\n");
    return 2;
  }
  std::map<std::string, std::string> found;
  int files = 0;
  if (std::filesystem::is_directory(arguments[2]))
    for (const auto& entry : std::filesystem::directory_iterator(arguments[2]))
      if (entry.path().extension() == ".ptx") {
        collect(entry.path(), found);
        files++;
      }
  if (files == 0) {
    std::printf("ptx_templates: there is no PTX in %s\n", arguments[2]);
    return 77;
  }
  if (count > 3) {
    for (const auto& [text, file] : found)
      std::printf("%s\n", text.c_str());
    return 0;
  }
  std::ifstream list(arguments[1]);
  if (!list) {
    std::fprintf(stderr, "ptx_templates: %s cannot be read\n", arguments[1]);
    return 2;
  }
  std::set<std::string> known;
  for (std::string line; std::getline(list, line);)
    if (line = trimmed(line); !line.empty() && line.rfind("//", 0) != 0)
      known.insert(line.rfind("[gpu] ", 0) == 0 ? line.substr(6) : line);
  int unknown = 0;
  for (const auto& [text, file] : found)
    if (!known.count(text)) {
      std::fprintf(stderr, "ptx_templates: '%s' of %s is not in %s; check it against the PTX manual and add it\n", text.c_str(), file.c_str(), arguments[1]);
      unknown++;
    }
  std::printf("%zu templates in %d files, %d of them unknown\n", found.size(), files, unknown);
  return unknown ? 1 : 0;
}
