// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/overlay_layers.h"

#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "user/base/file.h"
#include "user/tracer/procfs.h"

namespace leaktrace::tracer {
namespace {

/// An overlay has 500 layers at most (OVL_MAX_STACK); the file is looked for in the first of them.
constexpr std::size_t kMostLayers = 128;

bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

// "\040" is a blank (seq_path() and seq_show_option() in the kernel).
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
                        is_octal(text[i + 2]) && is_octal(text[i + 3]);
    if (!escape) {
      out += text[i];
      continue;
    }
    out +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return out;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "36 35 98:0 /root /point rw,noatime shared:1 - type source options": the optional fields before
// "-" may be any number.
std::optional<Mount> parse_line(std::string_view line) {
  const std::vector<std::string_view> words = words_of(line);
  const auto dash = std::ranges::find(words, "-");
  if (words.size() < 10 || dash - words.begin() < 6 || words.end() - dash < 4) return std::nullopt;
  return Mount{.id = number(words[0]),
               .device = std::string(words[2]),
               .root = unescaped(words[3]),
               .point = unescaped(words[4]),
               .type = std::string(dash[1]),
               .options = std::string(dash[3])};
}

// Folders between colons; a backslash takes a colon its meaning (ovl_parse_param_lowerdir()).
void add_lower(const std::string& folders, std::vector<std::string>& layers) {
  std::string one;
  for (std::size_t i = 0; i < folders.size(); ++i) {
    if (folders[i] == '\\' && i + 1 < folders.size()) {
      one += folders[++i];
    } else if (folders[i] != ':') {
      one += folders[i];
    } else {
      layers.push_back(std::exchange(one, {}));
      if (i + 1 < folders.size() && folders[i + 1] == ':') return;  // data only, from here on
    }
  }
  layers.push_back(std::move(one));
}

std::uint64_t mount_id_of(int fd) {
  const auto info = read_file(fmt::format("/proc/self/fdinfo/{}", fd));
  return info ? number(status_field("\n" + *info, "mnt_id")) : 0;
}

/// A folder's path below a mount point; nothing when it is not below it.
std::optional<std::string> path_below(std::string_view point, std::string_view path) {
  if (point == "/") return std::string(path);
  if (!path.starts_with(point)) return std::nullopt;
  path.remove_prefix(point.size());
  return path.starts_with('/') ? std::optional(std::string(path)) : std::nullopt;
}

std::vector<Mount> overlays_of(const std::string& process) {
  const auto text = read_file(fmt::format("/proc/{}/mountinfo", process));
  if (!text) return {};
  std::vector<Mount> mounts = parse_mountinfo(*text);
  std::erase_if(mounts, [](const Mount& mount) { return mount.type != "overlay"; });
  return mounts;
}

/// An overlay mount as its files are named, and where its layers are looked for.
struct Overlay {
  Mount mount;
  ForeignRoot root;
};

// Paths in /proc/PID/maps are ours where we see the mount, else those of the namespace that has it.
// Layers are looked for on the host only where the host has mounted this file system too, as
// container runtimes do: a process that mounts an overlay of its own chooses their names.
std::optional<Overlay> overlay_of(int fd, pid_t pid, const ForeignRoot& process_root) {
  const std::uint64_t id = mount_id_of(fd);
  const auto has_id = [&](const Mount& mount) { return mount.id == id; };
  std::vector<Mount> ours = overlays_of("self");
  if (const auto found = std::ranges::find_if(ours, has_id); found != ours.end()) {
    return Overlay{*found, ForeignRoot()};
  }
  std::vector<Mount> theirs = overlays_of(std::to_string(pid));
  const auto found = std::ranges::find_if(theirs, has_id);
  if (found == theirs.end()) return std::nullopt;
  const bool is_the_hosts = std::ranges::find(ours, found->device, &Mount::device) != ours.end();
  return Overlay{*found, is_the_hosts ? ForeignRoot() : process_root};
}

}  // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
  std::vector<Mount> mounts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (auto mount = parse_line(text.substr(0, end))) mounts.push_back(std::move(*mount));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mounts;
}

std::vector<std::string> overlay_layers(std::string_view options) {
  std::vector<std::string> layers;
  std::string upper;
  while (!options.empty()) {
    const std::size_t end = std::min(options.find(','), options.size());
    const std::string_view option = options.substr(0, end);
    options.remove_prefix(std::min(end + 1, options.size()));
    const std::size_t equals = option.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = option.substr(0, equals);
    const std::string value = unescaped(option.substr(equals + 1));
    if (name == "upperdir") upper = value;
    if (name == "lowerdir") add_lower(value, layers);
    if (name == "lowerdir+") layers.push_back(value);  // one folder, as it is (Linux 6.8)
  }
  if (!upper.empty()) layers.insert(layers.begin(), std::move(upper));
  return layers;
}

bool is_on_overlay(int fd) {
  struct statfs info {};
  return fd >= 0 && ::fstatfs(fd, &info) == 0 && info.f_type == OVERLAYFS_SUPER_MAGIC;
}

std::vector<UniqueFd> layer_files(int fd, pid_t pid, const ForeignRoot& root,
                                  std::string_view path) {
  std::vector<UniqueFd> files;
  if (!is_on_overlay(fd)) return files;
  const auto overlay = overlay_of(fd, pid, root);
  if (!overlay) return files;
  auto below = path_below(overlay->mount.point, path);
  if (!below) return files;
  if (overlay->mount.root != "/") below = overlay->mount.root + *below;
  std::vector<std::string> layers = overlay_layers(overlay->mount.options);
  layers.resize(std::min(layers.size(), kMostLayers));
  for (const std::string& layer : layers) {
    if (!layer.starts_with('/')) continue;  // from a folder that nobody knows any more
    auto file = open_foreign(overlay->root, layer + *below);
    if (file && *file) files.push_back(std::move(*file));
  }
  return files;
}

}  // namespace leaktrace::tracer
