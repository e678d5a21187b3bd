# basin_engine computes dense algebra (engine/linalg) with Eigen, and with LAPACK where BASIN_LAPACK says so:
#   AUTO  takes an optimised LAPACK whose threads can be set to 1 (OpenBLAS, MKL), else quietly none: the reference LAPACK is
#         slower than Eigen
#   ON    takes any that FindLAPACK finds (hints: BLA_VENDOR, CMAKE_LIBRARY_PATH), and fails when there is none
set(BASIN_LAPACK AUTO CACHE STRING "LAPACK for dense algebra in f64: AUTO, ON or OFF")
set_property(CACHE BASIN_LAPACK PROPERTY STRINGS AUTO ON OFF)
if(NOT BASIN_LAPACK MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "BASIN_LAPACK=${BASIN_LAPACK}: must be AUTO, ON or OFF")
endif()

# BASIN_DEPENDENCIES is for programs that run elsewhere, where there may be no LAPACK.
if(BASIN_LAPACK STREQUAL "ON" OR (BASIN_LAPACK STREQUAL "AUTO" AND NOT BASIN_DEPENDENCIES))
  find_package(LAPACK QUIET)
endif()
if(BASIN_LAPACK STREQUAL "ON" AND NOT LAPACK_FOUND)
  message(FATAL_ERROR "BASIN_LAPACK=ON: no LAPACK was found; install one and configure again:\n"
                      "  sudo apt-get install libopenblas-dev\nor set BLA_VENDOR or CMAKE_LIBRARY_PATH to where it is.")
endif()

set(basin_lapack_fast OFF)
if(LAPACK_FOUND)
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_QUIET ON)
  set(CMAKE_REQUIRED_LIBRARIES ${LAPACK_LIBRARIES})
  foreach(setter openblas_set_num_threads MKL_Set_Num_Threads)
    check_cxx_source_compiles("extern \"C\" void ${setter}(int); int main() { ${setter}(1); }" basin_lapack_has_${setter})
    if(basin_lapack_has_${setter})
      set(basin_lapack_fast ON)
    endif()
  endforeach()
  unset(CMAKE_REQUIRED_LIBRARIES)
  unset(CMAKE_REQUIRED_QUIET)
endif()
if(LAPACK_FOUND AND (basin_lapack_fast OR BASIN_LAPACK STREQUAL "ON"))
  message(STATUS "basin: dense algebra by LAPACK, ${LAPACK_LIBRARIES}")
  target_sources(basin_engine PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/linalg/lapack/lapack.cpp)
  target_compile_definitions(basin_engine PRIVATE BASIN_LAPACK)
  target_link_libraries(basin_engine PRIVATE ${LAPACK_LIBRARIES})
endif()
