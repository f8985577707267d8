# What every target of the project has in common: language level, warnings, optimisation, sanitizers.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # One cache for all clones: paths below the sources count as relative.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
                                  CCACHE_NOHASHDIR=yes ${CCACHE})
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(tplab_options INTERFACE)
target_compile_features(tplab_options INTERFACE cxx_std_20)
target_include_directories(tplab_options INTERFACE ${PROJECT_SOURCE_DIR})
# Threads are a rank's crew, or the reference's own: never Eigen's.
target_compile_definitions(tplab_options INTERFACE EIGEN_DONT_PARALLELIZE)
# tplab_cxx_options(FLAG...): for C++. nvcc takes others, and does not pass these on.
function(tplab_cxx_options)
  target_compile_options(tplab_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${ARGN}>")
endfunction()
tplab_cxx_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion)
# __FILE__ and call sites (sim/call_site.h) are paths in the project, also where ccache has made the
# sources' paths relative to the build folder: nothing in a program says where it was built.
cmake_path(RELATIVE_PATH PROJECT_SOURCE_DIR BASE_DIRECTORY ${PROJECT_BINARY_DIR} OUTPUT_VARIABLE up)
tplab_cxx_options(-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/= -fmacro-prefix-map=${up}/=)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)  # bugprone-reserved-identifier says the same in 20 times the time
  tplab_cxx_options(-Werror=reserved-identifier -Werror=reserved-macro-identifier)
endif()
if(TPLAB_NATIVE)
  tplab_cxx_options(-march=native)
endif()
if(TPLAB_SANITIZE)
  tplab_cxx_options(-fsanitize=${TPLAB_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(tplab_options INTERFACE -fsanitize=${TPLAB_SANITIZE})
endif()

# For targets that decide and print but do not compute: the command and the tests. With its sanitizers,
# clang takes three times as long at -O1 as at -O0; GCC half as long again.
set(TPLAB_SELDOM_HOT -O1)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang AND TPLAB_SANITIZE)
  set(TPLAB_SELDOM_HOT -O0)
endif()

# tplab_units(tplab_model model/ model/training/): the files whose paths are one of these regular
# expressions and a name are compiled as one (TPLAB_UNITY), since most of the time goes into what they
# include. Names in their anonymous namespaces must then differ. A file that fits none is alone.
function(tplab_units target)
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE path)
    foreach(unit IN LISTS ARGN)
      if(path MATCHES "^${unit}[^/]*$")
        string(MAKE_C_IDENTIFIER ${unit} group)
        set_property(SOURCE ${source} PROPERTY UNITY_GROUP ${group})
        break()
      endif()
    endforeach()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${TPLAB_UNITY} UNITY_BUILD_MODE GROUP)
endfunction()

# tplab_library(sim PUBLIC ...): the static library tplab_sim of every .cpp in the folder sim/.
function(tplab_library folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  foreach(pattern IN LISTS TPLAB_LEFT_OUT)  # of a backend that this build lacks
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  list(FILTER sources EXCLUDE REGEX "/sim/mpi/")  # of one MPI or another: tplab_mpi
  add_library(tplab_${folder} STATIC ${sources})
  target_link_libraries(tplab_${folder} PUBLIC tplab_options ${ARGN})
endfunction()

# tplab_mpi(tplab_mpi MPI::MPI_CXX): sim/mpi/ compiled against this MPI, as objects for a program.
function(tplab_mpi target library)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/sim/mpi/*.cpp)
  add_library(${target} OBJECT ${sources})
  target_link_libraries(${target} PUBLIC tplab_sim ${library})
  target_compile_definitions(${target} PRIVATE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${TPLAB_UNITY} UNITY_BUILD_BATCH_SIZE 0)
endfunction()
