# Backends that a build may have or lack. Each has an option, TPLAB_CUDA, TPLAB_NCCL or TPLAB_MPI:
# AUTO takes what is found, ON fails where it is missing, OFF does not look.
#
#   tplab_backend_option(MPI "ranks that are processes")  # declares TPLAB_MPI
#   if(TPLAB_MPI_WANTED)
#     find_package(MPI COMPONENTS CXX)
#   endif()
#   tplab_backend(MPI "${MPI_CXX_FOUND}" HAS "Open MPI 4.1" LACKS "no MPI: install libopenmpi-dev")
#
# The last sets TPLAB_HAS_MPI (0 or 1) and tells sim/machine/backends.cpp, by definitions, TPLAB_HAS_MPI
# and TPLAB_MPI_TOLD: a text of what was found, or why the build lacks it.

function(tplab_backend_option name help)
  set(TPLAB_${name} AUTO CACHE STRING "${help}: AUTO, ON or OFF")
  set_property(CACHE TPLAB_${name} PROPERTY STRINGS AUTO ON OFF)
  string(TOUPPER "${TPLAB_${name}}" asked)
  if(NOT asked MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "TPLAB_${name} is '${TPLAB_${name}}': use AUTO, ON or OFF")
  endif()
  set(TPLAB_${name}_ASKED ${asked} PARENT_SCOPE)
  set(wanted ON)
  if(asked STREQUAL OFF)
    set(wanted OFF)
  endif()
  set(TPLAB_${name}_WANTED ${wanted} PARENT_SCOPE)
endfunction()

function(tplab_backend name found)
  cmake_parse_arguments(PARSE_ARGV 2 SAYS "" "HAS;LACKS" "")
  set(has 0)
  if(TPLAB_${name}_ASKED STREQUAL OFF)
    set(told "TPLAB_${name} is OFF")
  elseif(found)
    set(has 1)
    set(told "${SAYS_HAS}")
  elseif(TPLAB_${name}_ASKED STREQUAL ON)
    message(FATAL_ERROR "TPLAB_${name} is ON, but ${SAYS_LACKS}. Or configure with -DTPLAB_${name}=AUTO.")
  else()
    set(told "${SAYS_LACKS}")
  endif()
  message(STATUS "${name}: ${told}")
  set(TPLAB_HAS_${name} ${has} PARENT_SCOPE)
  string(REPLACE "\"" "'" told "${told}")
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/sim/machine/backends.cpp APPEND PROPERTY
    COMPILE_DEFINITIONS TPLAB_HAS_${name}=${has} "TPLAB_${name}_TOLD=\"${told}\"")
endfunction()
