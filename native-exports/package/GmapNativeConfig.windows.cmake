# find_package(GmapNative CONFIG) gives
#   GmapNative::gmapnative   the library; gmap.h, gmap_inline.h, gmap.hpp
#   GmapNative::trace        the same ABI, with events for dotnet-trace
# Found by where this file is, so that the tree may be moved.
get_filename_component(_gmapnative_root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

foreach(_gmapnative_flavour gmapnative trace)
  if(_gmapnative_flavour STREQUAL trace)
    set(_gmapnative_file gmapnative-trace)
  else()
    set(_gmapnative_file gmapnative)
  endif()
  if(NOT EXISTS "${_gmapnative_root}/bin/${_gmapnative_file}.dll")
    set(GmapNative_FOUND FALSE)
    set(GmapNative_NOT_FOUND_MESSAGE "${_gmapnative_root}/bin/${_gmapnative_file}.dll is missing: unpack the zip again")
    return()
  endif()
  if(NOT TARGET GmapNative::${_gmapnative_flavour})
    add_library(GmapNative::${_gmapnative_flavour} SHARED IMPORTED)
    set_target_properties(GmapNative::${_gmapnative_flavour} PROPERTIES
      IMPORTED_LOCATION "${_gmapnative_root}/bin/${_gmapnative_file}.dll"
      IMPORTED_IMPLIB "${_gmapnative_root}/lib/${_gmapnative_file}.lib"
      INTERFACE_INCLUDE_DIRECTORIES "${_gmapnative_root}/include")
  endif()
endforeach()

unset(_gmapnative_root)
unset(_gmapnative_flavour)
unset(_gmapnative_file)
