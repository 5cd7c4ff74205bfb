# Installs the library so that find_package(rnncore) finds it.

include_guard()
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rnncore)
install(TARGETS rnncore EXPORT rnncore-targets FILE_SET HEADERS)
install(EXPORT rnncore-targets NAMESPACE rnncore:: DESTINATION ${package_dir})

configure_package_config_file(
  cmake/rnncore-config.cmake.in "${PROJECT_BINARY_DIR}/rnncore-config.cmake" INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/rnncore-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/rnncore-config.cmake" "${PROJECT_BINARY_DIR}/rnncore-config-version.cmake"
        DESTINATION ${package_dir})
