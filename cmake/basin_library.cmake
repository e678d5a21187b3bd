# basin_library(<folder> [LINK <what its headers show> ...] [PRIVATE_LINK <what only its sources use> ...])
# The static library basin_<folder> (alias basin::<folder>) of the folder's sources: its own and those of its subfolders
# named in SUBFOLDERS. A new source file is found at the next build.
function(basin_library folder)
  cmake_parse_arguments(arg "" "" "SUBFOLDERS;LINK;PRIVATE_LINK" ${ARGN})
  set(patterns [!.]*.cpp)  # what begins with a point is an editor's
  foreach(sub IN LISTS arg_SUBFOLDERS)
    list(APPEND patterns ${sub}/[!.]*.cpp)
  endforeach()
  list(TRANSFORM patterns PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})

  add_library(basin_${folder} STATIC ${sources})
  add_library(basin::${folder} ALIAS basin_${folder})
  set_target_properties(basin_${folder} PROPERTIES EXPORT_NAME ${folder})
  target_compile_features(basin_${folder} PUBLIC cxx_std_20)
  target_include_directories(basin_${folder} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/basin>)
  target_link_libraries(basin_${folder} PUBLIC ${arg_LINK})
  # Header-only libraries behind our sources are no business of those who link us.
  foreach(library IN LISTS arg_PRIVATE_LINK)
    target_link_libraries(basin_${folder} PRIVATE $<BUILD_INTERFACE:${library}>)
  endforeach()
endfunction()
