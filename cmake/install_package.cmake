# install() and the package that find_package(basin) finds. Headers keep their folders below include/basin, which is the
# include directory of the exported targets: #include "engine/array.h" works there as it does here.
include(CMakePackageConfigHelpers)
set(basin_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/basin)

install(TARGETS basin_kernels basin_engine basin_autograd basin_nets basin_training basin_dynamics
                basin_models basin_data EXPORT basin_targets)
foreach(folder kernels engine autograd models data)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/basin
          FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
endforeach()
install(EXPORT basin_targets NAMESPACE basin:: DESTINATION ${basin_package_dir} FILE basinTargets.cmake)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/basinConfig.cmake.in ${PROJECT_BINARY_DIR}/basinConfig.cmake
                              INSTALL_DESTINATION ${basin_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/basinConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/basinConfig.cmake ${PROJECT_BINARY_DIR}/basinConfigVersion.cmake
        DESTINATION ${basin_package_dir})
