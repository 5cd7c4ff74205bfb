# Installs the library so that find_package(rnncore) finds it.

include_guard()
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rnncore)
install(TARGETS rnncore EXPORT rnncore-targets FILE_SET HEADERS)
install(EXPORT rnncore-targets NAMESPACE rnncore:: DESTINATION ${package_dir})
# Apart, since a project in C alone can do without what the static library needs.
install(TARGETS rnncore_c EXPORT rnncore-c-targets)
install(EXPORT rnncore-c-targets NAMESPACE rnncore:: DESTINATION ${package_dir})

configure_package_config_file(
  cmake/rnncore-config.cmake.in "${PROJECT_BINARY_DIR}/rnncore-config.cmake" INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/rnncore-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/rnncore-config.cmake" "${PROJECT_BINARY_DIR}/rnncore-config-version.cmake"
        DESTINATION ${package_dir})

# For pkg-config; the paths are relative to the file, so that the folder may be moved.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_prefix "/prefix/${pc_dir}" "/prefix")
set(pc_private "-lstdc++ -lm -lpthread")
if(OpenMP_CXX_FOUND)
  list(GET OpenMP_CXX_LIB_NAMES 0 openmp)
  string(PREPEND pc_private "-l${openmp} ")
endif()
configure_file(cmake/rnncore.pc.in "${PROJECT_BINARY_DIR}/rnncore.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/rnncore.pc" DESTINATION ${pc_dir})
