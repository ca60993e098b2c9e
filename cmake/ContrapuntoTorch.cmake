# Finds LibTorch and offers it as the imported targets contrapunto::torch (CPU) and contrapunto::torch_cuda.
#
# TorchConfig.cmake is not used: with a CUDA wheel it needs the CUDA toolkit even for CPU programs, and it changes global
# CUDA flags. The targets of a project that has already called find_package(Torch) are used.

set(CONTRAPUNTO_TORCH_MINIMUM 2.9)

function(_contrapunto_find_torch_root result)
  set(candidates "${Torch_ROOT}" "$ENV{Torch_ROOT}")
  if(Torch_DIR)
    list(APPEND candidates "${Torch_DIR}/../../..")
  endif()
  # A wheel is named by torch/share/cmake (what torch.utils.cmake_prefix_path prints), an archive by its top folder.
  set(prefixes ${CMAKE_PREFIX_PATH})
  string(REPLACE ":" ";" environment_prefixes "$ENV{CMAKE_PREFIX_PATH}")
  list(APPEND prefixes ${environment_prefixes})
  foreach(prefix IN LISTS prefixes)
    list(APPEND candidates "${prefix}" "${prefix}/../..")
  endforeach()
  foreach(candidate IN LISTS candidates)
    if(candidate AND EXISTS "${candidate}/include/torch/csrc/api/include/torch/types.h")
      get_filename_component(candidate "${candidate}" REALPATH)
      set(${result} "${candidate}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()

function(_contrapunto_torch_version root result)
  # Up to 2.9 the numbers are in the api folder, later in torch/headeronly; both files may exist.
  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h torch/version.h)
    if(EXISTS "${root}/include/${header}")
      file(STRINGS "${root}/include/${header}" lines REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
      if(lines)
        set(version "")
        foreach(part MAJOR MINOR PATCH)
          string(REGEX MATCH "TORCH_VERSION_${part} ([0-9]+)" _ "${lines}")
          list(APPEND version "${CMAKE_MATCH_1}")
        endforeach()
        list(JOIN version "." version)
        set(${result} "${version}" PARENT_SCOPE)
        return()
      endif()
    endif()
  endforeach()
  set(${result} "0" PARENT_SCOPE)
endfunction()

function(_contrapunto_imported_library name location)
  if(NOT TARGET ${name})
    add_library(${name} SHARED IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${location}")
  endif()
endfunction()

# Sets CONTRAPUNTO_TORCH_ROOT and CONTRAPUNTO_TORCH_VERSION in the caller, or CONTRAPUNTO_TORCH_ERROR.
macro(contrapunto_find_torch)
  set(CONTRAPUNTO_TORCH_ERROR "")
  if(TARGET torch AND NOT TARGET contrapunto::torch)
    add_library(contrapunto::torch INTERFACE IMPORTED GLOBAL)
    target_link_libraries(contrapunto::torch INTERFACE torch)
    target_include_directories(contrapunto::torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
    add_library(contrapunto::torch_cuda INTERFACE IMPORTED GLOBAL)
    target_link_libraries(contrapunto::torch_cuda INTERFACE torch)
    set(CONTRAPUNTO_TORCH_VERSION "${Torch_VERSION}")
    set(CONTRAPUNTO_TORCH_ROOT "")
  elseif(NOT TARGET contrapunto::torch)
    _contrapunto_find_torch_root(CONTRAPUNTO_TORCH_ROOT)
    if(NOT CONTRAPUNTO_TORCH_ROOT)
      set(CONTRAPUNTO_TORCH_ERROR "LibTorch was not found. Name it with -DCMAKE_PREFIX_PATH=$(python3 -c \
'import torch; print(torch.utils.cmake_prefix_path)') or the top folder of a LibTorch archive; scripts/setup installs one.")
    else()
      _contrapunto_torch_version("${CONTRAPUNTO_TORCH_ROOT}" CONTRAPUNTO_TORCH_VERSION)
      if(CONTRAPUNTO_TORCH_VERSION VERSION_LESS CONTRAPUNTO_TORCH_MINIMUM)
        set(CONTRAPUNTO_TORCH_ERROR "LibTorch ${CONTRAPUNTO_TORCH_VERSION} in ${CONTRAPUNTO_TORCH_ROOT} is too old; \
${CONTRAPUNTO_TORCH_MINIMUM} or later is needed.")
      else()
        _contrapunto_define_torch_targets("${CONTRAPUNTO_TORCH_ROOT}")
      endif()
    endif()
  endif()
endmacro()

function(_contrapunto_define_torch_targets root)
  set(lib "${root}/lib")
  _contrapunto_imported_library(contrapunto::detail::c10 "${lib}/libc10.so")
  _contrapunto_imported_library(contrapunto::detail::torch_cpu "${lib}/libtorch_cpu.so")
  add_library(contrapunto::torch INTERFACE IMPORTED GLOBAL)
  target_include_directories(contrapunto::torch SYSTEM INTERFACE
    "${root}/include" "${root}/include/torch/csrc/api/include")
  target_link_libraries(contrapunto::torch INTERFACE contrapunto::detail::torch_cpu contrapunto::detail::c10)
  # LibTorch is built by g++, whose names for some templates (Tensor::const_data_ptr) Clang has had only up to version 17.
  target_compile_options(contrapunto::torch INTERFACE
    $<$<AND:$<COMPILE_LANG_AND_ID:CXX,Clang>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,18>>:-fclang-abi-compat=17>)
  # At run time the wheel's libraries find NVIDIA's through their own rpath; the linker needs the folders.
  file(GLOB nvidia_folders "${root}/../nvidia/*/lib")
  foreach(folder IN LISTS nvidia_folders)
    target_link_options(contrapunto::torch INTERFACE "LINKER:-rpath-link,${folder}")
  endforeach()
  if(EXISTS "${lib}/libtorch_cuda.so")
    _contrapunto_imported_library(contrapunto::detail::c10_cuda "${lib}/libc10_cuda.so")
    add_library(contrapunto::torch_cuda INTERFACE IMPORTED GLOBAL)
    # No symbol refers to torch_cuda; without the flag the linker drops it, and LibTorch finds no CUDA device.
    target_link_libraries(contrapunto::torch_cuda INTERFACE contrapunto::torch contrapunto::detail::c10_cuda)
    target_link_options(contrapunto::torch_cuda INTERFACE
      "LINKER:--push-state,--no-as-needed" "${lib}/libtorch_cuda.so" "LINKER:--pop-state")
  endif()
endfunction()
