# The environment variable CONTRAPUNTO_SOURCE names a checkout to install from, instead of a release.
if(DEFINED ENV{CONTRAPUNTO_SOURCE})
  set(SOURCE_PATH "$ENV{CONTRAPUNTO_SOURCE}")
else()
  # docs/releasing.md: each release writes the repository and the hash of its archive here. With the hash 0, vcpkg refuses the
  # archive and prints the hash that it has.
  vcpkg_from_github(
    OUT_SOURCE_PATH SOURCE_PATH
    REPO contrapunto/contrapunto
    REF "v${VERSION}"
    SHA512 0
    HEAD_REF main
  )
endif()

set(VCPKG_BUILD_TYPE release)  # there is nothing to compile
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DCONTRAPUNTO_PACKAGE_ONLY=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/Contrapunto)

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/doc")
file(INSTALL "${SOURCE_PATH}/packaging/sbom.cdx.json" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE" "${SOURCE_PATH}/THIRD_PARTY.md")
