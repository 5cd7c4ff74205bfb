# What the build needs from outside: Eigen and nlohmann-json (headers), OpenMP if there is one, pybind11 for the Python
# module.

include_guard()

# The suffixes find Eigen inside a virtual environment too, where PyPI's cmeel-eigen puts it.
find_package(Eigen3 3.4 CONFIG REQUIRED PATH_SUFFIXES cmeel.prefix cmeel.prefix/share/eigen3/cmake)

# The suffix is that of PyPI's nlohmann-json in a virtual environment.
find_path(RNNCORE_JSON_INCLUDE_DIR nlohmann/json.hpp PATH_SUFFIXES nlohmann_json/include REQUIRED)

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

if(RNNCORE_BUILD_PYTHON)
  find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
  find_package(pybind11 3.1 CONFIG REQUIRED)
endif()

if(RNNCORE_OPENMP)
  find_package(OpenMP COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    message(WARNING "OpenMP was not found: every call will run on one thread")
  endif()
endif()

# rnncore_add_parallel(<library> <source>): the one source compiled with OpenMP. Whoever links the library links the
# OpenMP runtime too, but compiles without its flags.
function(rnncore_add_parallel library source)
  add_library(rnncore_parallel OBJECT ${source})
  target_include_directories(rnncore_parallel PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(rnncore_parallel PRIVATE rnncore_strict Threads::Threads)
  target_sources(${library} PRIVATE $<TARGET_OBJECTS:rnncore_parallel>)
  target_link_libraries(${library} INTERFACE $<LINK_ONLY:Threads::Threads>)
  if(OpenMP_CXX_FOUND)
    target_link_libraries(rnncore_parallel PRIVATE OpenMP::OpenMP_CXX)
    target_link_libraries(${library} INTERFACE $<LINK_ONLY:OpenMP::OpenMP_CXX>)
  else()
    target_compile_options(rnncore_parallel PRIVATE -Wno-unknown-pragmas)
  endif()
endfunction()
