# Everything from Debian packages, nothing downloaded. What is missing is reported at once, by the name apt knows.
# With BASIN_DEPENDENCIES everything comes from that folder instead, which scripts/gather_headers.sh fills elsewhere.
set(BASIN_DEPENDENCIES "" CACHE PATH "A folder filled by scripts/gather_headers.sh, for machines that can install nothing")
set(basin_missing "")

# basin_dependency(<debian package> <find_package arguments ...>)
macro(basin_dependency debian name)
  find_package(${name} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    list(APPEND basin_missing ${debian})
  endif()
endmacro()

# basin_gathered(<target> <header>): the target's headers are those in the folder
function(basin_gathered target header)
  if(NOT EXISTS ${basin_gathered_dir}/include/${header})
    message(FATAL_ERROR "BASIN_DEPENDENCIES=${BASIN_DEPENDENCIES} has no include/${header}; fill the folder with "
                        "scripts/gather_headers.sh, on a machine that has the packages")
  endif()
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${basin_gathered_dir}/include)
endfunction()

if(BASIN_DEPENDENCIES)
  cmake_path(ABSOLUTE_PATH BASIN_DEPENDENCIES BASE_DIRECTORY ${PROJECT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE basin_gathered_dir)
  basin_gathered(Eigen3::Eigen Eigen/Dense)
  basin_gathered(Spectra::Spectra Spectra/SymEigsSolver.h)
  basin_gathered(nlohmann_json::nlohmann_json nlohmann/json.hpp)
  basin_gathered(CLI11::CLI11 CLI/CLI.hpp)
  basin_gathered(doctest::doctest doctest/doctest.h)
  include(${basin_gathered_dir}/versions.cmake)
  basin_gathered(basin_sundials cvode/cvode.h)
  target_link_libraries(basin_sundials INTERFACE
    ${basin_gathered_dir}/lib/libsundials_cvode.a ${basin_gathered_dir}/lib/libsundials_arkode.a)
  set(ZLIB_INCLUDE_DIR ${basin_gathered_dir}/include)
  set(ZLIB_LIBRARY ${basin_gathered_dir}/lib/libz.a)
  set(BASIN_STB_INCLUDE_DIR ${basin_gathered_dir}/include/stb)
else()
  basin_dependency(libeigen3-dev Eigen3 3.4 CONFIG)
  basin_dependency(libspectra-dev Spectra 1.0 CONFIG)
  basin_dependency(nlohmann-json3-dev nlohmann_json 3.10 CONFIG)
  basin_dependency(libcli11-dev CLI11 2.1 CONFIG)
  basin_dependency(libsundials-dev SUNDIALS 6.4 CONFIG COMPONENTS cvode_static arkode_static)
  add_library(basin_sundials INTERFACE)
  target_link_libraries(basin_sundials INTERFACE SUNDIALS::cvode_static SUNDIALS::arkode_static)
  if(BASIN_TESTS)
    basin_dependency(doctest-dev doctest 2.4 CONFIG)
  endif()
endif()
basin_dependency(zlib1g-dev ZLIB)
basin_dependency(libc6-dev Threads)

find_path(BASIN_STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb)
mark_as_advanced(BASIN_STB_INCLUDE_DIR)
if(BASIN_STB_INCLUDE_DIR)
  add_library(basin_stb INTERFACE)
  target_include_directories(basin_stb SYSTEM INTERFACE ${BASIN_STB_INCLUDE_DIR})
  if(BASIN_DEPENDENCIES)  # for #include <stb/...>
    target_include_directories(basin_stb SYSTEM INTERFACE ${basin_gathered_dir}/include)
  endif()
else()
  list(APPEND basin_missing libstb-dev)
endif()

if(basin_missing)
  list(JOIN basin_missing " " packages)
  message(FATAL_ERROR "Missing Debian packages: ${packages}\nInstall them and configure again:\n"
                      "  sudo apt-get install ${packages}\nor run scripts/setup.sh, which installs all that basin needs.")
endif()

# Versions of what is compiled in, for result files.
set(stb_version unknown)
file(STRINGS ${BASIN_STB_INCLUDE_DIR}/stb_image.h stb_line LIMIT_COUNT 1)
if(stb_line MATCHES "v([0-9.]+)")
  set(stb_version ${CMAKE_MATCH_1})
endif()
set(basin_library_versions "Eigen ${Eigen3_VERSION}, Spectra ${Spectra_VERSION}, nlohmann-json ${nlohmann_json_VERSION}, \
CLI11 ${CLI11_VERSION}, SUNDIALS ${SUNDIALS_VERSION}, zlib ${ZLIB_VERSION_STRING}, stb_image ${stb_version}")
