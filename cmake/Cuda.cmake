# The Python module _cuda, when there is a CUDA compiler.

set(ACUTANCE_CUDA AUTO CACHE STRING
    "Build the CUDA module: AUTO (when a compiler is found), ON (its absence is an error) or OFF")
set(ACUTANCE_CUDA_ARCHITECTURES "" CACHE STRING
    "Compute capabilities to compile for, as 87 or 86,120; empty: all that the project knows and the compiler can do")
# What the environment says counts more, and is not remembered.
foreach(name ACUTANCE_CUDA ACUTANCE_CUDA_ARCHITECTURES)
  if(DEFINED ENV{${name}})
    set(${name} "$ENV{${name}}")
  endif()
endforeach()

include(FindNvcc)

# Sets `out` to why nvcc cannot compile with this C++ compiler, or to "".
function(acutance_try_nvcc nvcc host out)
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/try_nvcc")
  file(WRITE "${folder}/try.cu" "#include <cuda_runtime.h>\n__global__ void kernel(int* x) { *x = 1; }\n")
  execute_process(
    COMMAND "${nvcc}" -std=c++17 -ccbin "${host}" -c try.cu -o try.o
    WORKING_DIRECTORY "${folder}" RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  set(why "")
  if(NOT status EQUAL 0)
    string(REGEX MATCH "[^\n]*error[^\n]*" why "${said}")
    set(why "it cannot compile with ${host}: ${why}")
  endif()
  set(${out} "${why}" PARENT_SCOPE)
endfunction()

# The compute capabilities to build for, each as machine code; the last also as PTX, for newer devices.
function(acutance_pick_architectures out)
  if(ACUTANCE_CUDA_ARCHITECTURES)
    string(REGEX REPLACE "[ ,]+" ";" architectures "${ACUTANCE_CUDA_ARCHITECTURES}")
  else()
    set(architectures ${ACUTANCE_NVCC_ARCHITECTURES})
  endif()
  list(POP_BACK architectures newest)
  list(TRANSFORM architectures APPEND "-real")
  set(${out} ${architectures} ${newest} PARENT_SCOPE)
endfunction()

set(ACUTANCE_CUDA_WHY_NOT "")
if(ACUTANCE_CUDA)
  acutance_find_nvcc()
  if(ACUTANCE_NVCC)
    if(NOT CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
      set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
    endif()
    set(host "${CMAKE_CUDA_HOST_COMPILER}")
    if(NOT host)
      set(host "$ENV{CUDAHOSTCXX}")
    endif()
    acutance_try_nvcc("${ACUTANCE_NVCC}" "${host}" ACUTANCE_CUDA_WHY_NOT)
    if(ACUTANCE_CUDA_WHY_NOT)
      set(ACUTANCE_CUDA_WHY_NOT "${ACUTANCE_NVCC_VERDICT}: ${ACUTANCE_CUDA_WHY_NOT}")
    endif()
  else()
    set(ACUTANCE_CUDA_WHY_NOT "${ACUTANCE_NVCC_VERDICT}")
  endif()
  if(ACUTANCE_CUDA_WHY_NOT AND NOT ACUTANCE_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "ACUTANCE_CUDA is ${ACUTANCE_CUDA}, but: ${ACUTANCE_CUDA_WHY_NOT}")
  endif()
else()
  set(ACUTANCE_CUDA_WHY_NOT "ACUTANCE_CUDA is ${ACUTANCE_CUDA}")
endif()

if(ACUTANCE_CUDA_WHY_NOT)
  message(STATUS "CUDA: module _cuda is not built: ${ACUTANCE_CUDA_WHY_NOT}")
  return()
endif()

acutance_pick_architectures(CMAKE_CUDA_ARCHITECTURES)
message(STATUS "CUDA: ${ACUTANCE_NVCC_VERDICT}")
message(STATUS "CUDA: module _cuda is built for ${CMAKE_CUDA_ARCHITECTURES}")
set(CMAKE_CUDA_COMPILER "${ACUTANCE_NVCC}")
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)

add_library(kernels OBJECT csrc/cuda.cu)
set_target_properties(kernels PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF
                                         CUDA_VISIBILITY_PRESET hidden)
# No contraction to fused multiply-add here either: a GPU gives the bits of the CPU and of the NumPy oracle, so that one
# test holds all of them, and a picture does not depend on where it was made.
target_compile_options(
  kernels PRIVATE -fmad=false --threads=0 -Xfatbin=-compress-all -Xptxas=-v -Werror=cross-execution-space-call,reorder
                  -Xcompiler=-Wall,-Wextra,-ffp-contract=off)
# tools/check_cuda.py reads from it what ptxas says of registers and spills.
set_target_properties(kernels PROPERTIES RULE_LAUNCH_COMPILE
                                         "sh ${CMAKE_CURRENT_SOURCE_DIR}/cmake/keep_log.sh <OBJECT>.log")

pybind11_add_module(_cuda NO_EXTRAS csrc/bind_cuda.cpp csrc/device_array.cpp csrc/event.cpp csrc/graph.cpp csrc/args.cpp
                    $<TARGET_OBJECTS:kernels>)
set_target_properties(_cuda PROPERTIES LINKER_LANGUAGE CXX)
target_compile_options(_cuda PRIVATE -O3 -ffp-contract=off -Wall -Wextra)
# The static runtime looks for the driver when it is first called: without one the module still imports.
target_link_libraries(_cuda PRIVATE CUDA::cudart_static)
target_link_options(_cuda PRIVATE -Wl,--exclude-libs,ALL)
install(TARGETS _cuda DESTINATION acutance)
