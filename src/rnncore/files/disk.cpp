#include "rnncore/files/disk.hpp"

#include <cerrno>
#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rnncore {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path) {
  throw std::filesystem::filesystem_error(what, path, std::error_code(errno, std::generic_category()));
}

// Closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  operator int() const { return number_; }

 private:
  int number_;
};

// 16 hexadecimal digits.
std::string random_name() {
  std::random_device source;
  std::string name;
  for (int k = 0; k < 16; ++k) name += "0123456789abcdef"[source() % 16];
  return name;
}

void write_whole(int to, const std::string& content, const std::string& path) {
  for (std::size_t done = 0; done < content.size();) {
    const ssize_t count = ::write(to, content.data() + done, content.size() - done);
    if (count < 0 && errno != EINTR) fail("cannot write", path);
    if (count > 0) done += static_cast<std::size_t>(count);
  }
  if (::fsync(to) != 0) fail("cannot write", path);
}

// The new name itself is to outlive a power failure; not every file system can.
void sync_folder(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const Descriptor folder(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_CLOEXEC));
  if (folder >= 0) ::fsync(folder);
}

}  // namespace

std::string read_file(const std::string& path) {
  const Descriptor file(
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe without a writer must not block
  if (file < 0) fail("cannot read", path);
  struct stat status;
  if (::fstat(file, &status) != 0) fail("cannot read", path);
  if (!S_ISREG(status.st_mode)) {
    errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    fail("cannot read what is no regular file", path);
  }
  std::string content(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::read(file, content.data() + done, content.size() - done);
    if (count == 0) break;  // it has become shorter meanwhile
    if (count < 0 && errno != EINTR) fail("cannot read", path);
    if (count > 0) done += static_cast<std::size_t>(count);
  }
  content.resize(done);
  return content;
}

void replace_file(const std::string& path, const std::string& content) {
  const std::string target = std::filesystem::weakly_canonical(path);
  const std::string temporary = target + "." + random_name() + ".tmp";
  const Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file < 0) fail("cannot write", path);
  try {
    struct stat old;
    if (::stat(target.c_str(), &old) == 0 && ::fchmod(file, old.st_mode & 07777) != 0) fail("cannot write", path);
    write_whole(file, content, path);
    if (::rename(temporary.c_str(), target.c_str()) != 0) fail("cannot write", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(target);
}

}  // namespace rnncore
