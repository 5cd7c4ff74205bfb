#include "rnncore/c/error.hpp"

#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <new>
#include <stdexcept>

#include "rnncore/files/errors.hpp"
#include "rnncore/rnncore.h"

namespace rnncore::c {
namespace {
thread_local char text[1024] = "";
}

int fail(int status, const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  std::size_t size = static_cast<std::size_t>(std::vsnprintf(text, sizeof text, format, arguments));
  va_end(arguments);
  if (size >= sizeof text) {  // cut, but not within a character of UTF-8
    for (size = sizeof text - 1; size > 0 && (text[size - 1] & 0xC0) == 0x80;) --size;
    text[size > 0 && (text[size - 1] & 0x80) ? size - 1 : size] = '\0';
  }
  return status;
}

int fail_with_current_exception() noexcept {
  try {
    throw;
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(RNNCORE_NO_ACCESS, "%s: %s", error.path1().c_str(), error.code().message().c_str());
  } catch (const DamagedFileError& error) {
    return fail(RNNCORE_DAMAGED_FILE, "%s", error.what());
  } catch (const FormatError& error) {
    return fail(RNNCORE_WRONG_FORMAT, "%s", error.what());
  } catch (const std::invalid_argument& error) {
    return fail(RNNCORE_INVALID_ARGUMENT, "%s", error.what());
  } catch (const std::bad_alloc& error) {
    return fail(RNNCORE_OUT_OF_MEMORY, "%s", error.what());
  } catch (const std::exception& error) {
    return fail(RNNCORE_FAILED, "%s", error.what());
  } catch (...) {
    return fail(RNNCORE_FAILED, "an unknown error");
  }
}

const char* last_error() noexcept { return text; }

}  // namespace rnncore::c
