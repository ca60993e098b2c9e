# Install rules and Debian packages of this checkout. This file is not part of the installed package.
#
#   component headers    headers, the CMake package, license, notices and the list of dependencies
#   component programs   the templates of examples/ as commands, with CONTRAPUNTO_BUILD_EXAMPLES=ON
#
# The package has no compiled file, so its place, share/cmake, does not depend on the architecture.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/Contrapunto")
configure_package_config_file(cmake/ContrapuntoConfig.cmake.in ContrapuntoConfig.cmake
  INSTALL_DESTINATION "${_package_dir}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
configure_file(cmake/ContrapuntoConfigVersion.cmake.in ContrapuntoConfigVersion.cmake @ONLY)
set(_notices LICENSE THIRD_PARTY.md packaging/sbom.cdx.json)

install(DIRECTORY include/contrapunto DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT headers)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/ContrapuntoConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/ContrapuntoConfigVersion.cmake"
  cmake/ContrapuntoTargets.cmake cmake/ContrapuntoTorch.cmake DESTINATION "${_package_dir}" COMPONENT headers)
install(FILES ${_notices} DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/contrapunto" COMPONENT headers)

# train_clip lies in libexec/contrapunto, and bin/contrapunto-train-clip is a link to it; export_model is contrapunto-export.
if(CONTRAPUNTO_BUILD_EXAMPLES)
  set(CONTRAPUNTO_PROGRAM_RPATH "" CACHE STRING
    "Folders in which the installed programs look for LibTorch (default: the LibTorch they were built with)")
  set(_rpath "${CONTRAPUNTO_PROGRAM_RPATH}")
  if(NOT _rpath AND CONTRAPUNTO_TORCH_ROOT)
    set(_rpath "${CONTRAPUNTO_TORCH_ROOT}/lib")
  endif()
  set(_program_dir "${CMAKE_INSTALL_LIBEXECDIR}/contrapunto")
  file(RELATIVE_PATH _from_bin "/${CMAKE_INSTALL_BINDIR}" "/${_program_dir}")
  get_property(_programs DIRECTORY examples PROPERTY BUILDSYSTEM_TARGETS)
  list(FILTER _programs EXCLUDE REGEX "^component_")
  foreach(_program IN LISTS _programs)
    set_target_properties(${_program} PROPERTIES INSTALL_RPATH "${_rpath}")
    install(TARGETS ${_program} RUNTIME DESTINATION "${_program_dir}" COMPONENT programs)
    string(REPLACE "_" "-" _command "contrapunto-${_program}")
    string(REPLACE "export-model" "export" _command "${_command}")
    file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/commands")
    file(CREATE_LINK "${_from_bin}/${_program}" "${CMAKE_CURRENT_BINARY_DIR}/commands/${_command}" SYMBOLIC)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/commands/${_command}" DESTINATION "${CMAKE_INSTALL_BINDIR}"
      COMPONENT programs)
  endforeach()
  install(FILES ${_notices} DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/contrapunto-tools" COMPONENT programs)
endif()

if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()

# cpack -G DEB makes contrapunto-dev and, with the examples, contrapunto-tools.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME contrapunto)
set(CPACK_PACKAGE_CONTACT "The Contrapunto Authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE")
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
# These files belong to the Debian packages only, so an ordinary installation leaves them out.
install(FILES packaging/debian/copyright DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/contrapunto-dev" COMPONENT debian_dev
  EXCLUDE_FROM_ALL)
set(CPACK_COMPONENTS_ALL headers debian_dev)
set(CPACK_COMPONENT_HEADERS_GROUP dev)
set(CPACK_COMPONENT_DEBIAN_DEV_GROUP dev)
set(CPACK_DEBIAN_DEV_PACKAGE_NAME contrapunto-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "nlohmann-json3-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_RECOMMENDS "cmake (>= 3.25), g++ (>= 4:12)")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "libjpeg62-turbo-dev, libpng-dev, libwebp-dev, libutf8proc-dev, zlib1g-dev, \
libgloo-dev, libcli11-dev, libprotozero-dev, gnuplot-nox")
set(CPACK_DEBIAN_DEV_DESCRIPTION "Headers and the CMake package, for find_package(Contrapunto).
LibTorch 2.9 or later is needed too, and Debian has no package of it: use the PyPI wheel torch or an archive of LibTorch. \
The suggested packages belong to the components image, text, distributed, cli and export.")
if(CONTRAPUNTO_BUILD_EXAMPLES)
  install(FILES packaging/debian/copyright DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/contrapunto-tools"
    COMPONENT debian_tools EXCLUDE_FROM_ALL)
  list(APPEND CPACK_COMPONENTS_ALL programs debian_tools)
  set(CPACK_COMPONENT_PROGRAMS_GROUP tools)
  set(CPACK_COMPONENT_DEBIAN_TOOLS_GROUP tools)
  set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME contrapunto-tools)
  set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
  set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${CONTRAPUNTO_TORCH_ROOT}/lib")
  set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS "gnuplot-nox, fonts-dejavu-core")
  set(CPACK_DEBIAN_TOOLS_DESCRIPTION "Trainers and tools, such as contrapunto-train-clip and contrapunto-export.
They need the libraries of LibTorch ${CONTRAPUNTO_TORCH_VERSION}, of which Debian has no package. They look for them in the \
folders of LD_LIBRARY_PATH and in ${_rpath}.")
endif()
include(CPack)
