# Included: basin_add_build_info(target) adds a generated build_info.cpp to the target.
# Run as a script (cmake -P) at each build: writes that file, and only when the commit, the dirty flag or a source changed.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(basin_build_info_script ${CMAKE_CURRENT_LIST_FILE})
  function(basin_add_build_info target)
    set(output ${CMAKE_CURRENT_BINARY_DIR}/build_info.cpp)
    string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
    list(JOIN basin_cxx_options " " options)
    string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}}" flags)
    add_custom_target(basin_build_info
      COMMAND ${CMAKE_COMMAND} -D SOURCE_DIR=${PROJECT_SOURCE_DIR} -D OUTPUT=${output}
              "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
              "-DFLAGS=${CMAKE_BUILD_TYPE}: ${flags} ${options}" "-DLIBRARIES=${basin_library_versions}"
              -P ${basin_build_info_script}
      BYPRODUCTS ${output} COMMENT "Checking build information" VERBATIM)
    target_sources(${target} PRIVATE ${output})
    add_dependencies(${target} basin_build_info)
  endfunction()
  return()
endif()

set(commit unknown)
set(dirty false)
set(ENV{GIT_OPTIONAL_LOCKS} 0)
find_program(git git)
if(git)
  # The checkout must be ours: an unpacked archive inside somebody else's repository is not its commit.
  execute_process(COMMAND ${git} -C ${SOURCE_DIR} rev-parse --show-cdup HEAD
                  OUTPUT_VARIABLE answer ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed AND answer MATCHES "^\n([0-9a-f]+)\n$")
    set(commit ${CMAKE_MATCH_1})
    execute_process(COMMAND ${git} -C ${SOURCE_DIR} status --porcelain OUTPUT_VARIABLE changes ERROR_QUIET)
    if(changes)
      set(dirty true)
    endif()
  endif()
endif()

# Builds of one commit with other local changes, and those of no commit, differ in what the program is made of. Names and
# contents only, so that the same sources have the same digest on every machine.
# Not by file(GLOB): a path may read like a pattern, and a name may hold what ends an entry of a list. What begins with a
# point is none of ours: editors leave such beside a file that is open, Emacs links to nothing.
set(rooms "")
foreach(room CMakeLists.txt cmake kernels engine autograd models data experiments)
  if(EXISTS ${SOURCE_DIR}/${room})
    list(APPEND rooms ${room})
  endif()
endforeach()
if(NOT rooms)
  message(FATAL_ERROR "no sources in ${SOURCE_DIR}")
endif()
set(kinds -name *.h)
foreach(kind cpp cu def txt cmake in)
  list(APPEND kinds -o -name *.${kind})
endforeach()
set(ENV{LC_ALL} C)
execute_process(COMMAND find ${rooms} -name .* -prune -o -xtype f "(" ${kinds} ")" -print0
                COMMAND sort -z COMMAND xargs -0 sha256sum
                WORKING_DIRECTORY ${SOURCE_DIR} OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
string(SHA256 sources "${listing}")
string(SUBSTRING ${sources} 0 16 sources)

foreach(value COMPILER FLAGS LIBRARIES)
  string(REGEX REPLACE "([\\\\\"])" "\\\\\\1" ${value} "${${value}}")
endforeach()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#include "engine/build_info.h"

namespace basin {

const BuildInfo& build_info() {
  static const BuildInfo info = {"@commit@", @dirty@, "@sources@", "@COMPILER@", "@FLAGS@", "@LIBRARIES@"};
  return info;
}

}  // namespace basin
]])
