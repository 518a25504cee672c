# SPDX-License-Identifier: MIT
#
# What `cmake --install` puts down, and how a build finds it again: pkg-config (dsm.pc) and CMake
# (find_package(dsm): dsm::dsm, dsm::dsm_static).

set(dsm_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/dsm)

install(DIRECTORY include/dsm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

# Two exports: a program that links libdsm.so needs none of libdsm.a's dependencies.
install(TARGETS dsm EXPORT dsm-shared
	LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS dsm_static EXPORT dsm-static
	ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(kind IN ITEMS shared static)
	install(EXPORT dsm-${kind} NAMESPACE dsm:: DESTINATION ${dsm_package_dir})
endforeach()

configure_package_config_file(cmake/dsm-config.cmake.in ${PROJECT_BINARY_DIR}/dsm-config.cmake
	INSTALL_DESTINATION ${dsm_package_dir} NO_SET_AND_CHECK_MACRO)
# While the major version is 0, a minor version may break programs.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/dsm-config-version.cmake
	COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/dsm-config.cmake ${PROJECT_BINARY_DIR}/dsm-config-version.cmake
	DESTINATION ${dsm_package_dir})

set(dsm_libs_private -pthread ${DSM_NUMA_LDFLAGS} ${DSM_LIBPMIX_LDFLAGS}
	${DSM_LIBVERBS_LDFLAGS})
list(REMOVE_DUPLICATES dsm_libs_private)
list(JOIN dsm_libs_private " " dsm_libs_private)
# Relative to the .pc file's own place, so that an installed tree may be moved.
cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
	OUTPUT_VARIABLE dsm_libdir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${dsm_libdir}/pkgconfig
	OUTPUT_VARIABLE dsm_prefix_from_pc)
cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_INCLUDEDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
	OUTPUT_VARIABLE dsm_includedir)
foreach(dir IN ITEMS dsm_libdir dsm_includedir)
	cmake_path(IS_PREFIX CMAKE_INSTALL_PREFIX ${${dir}} below)
	if(below)
		cmake_path(RELATIVE_PATH ${dir} BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX})
		string(PREPEND ${dir} "\${prefix}/")
	endif()
endforeach()
configure_file(cmake/dsm.pc.in ${PROJECT_BINARY_DIR}/dsm.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/dsm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
