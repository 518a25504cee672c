# SPDX-License-Identifier: MIT
#
# The library's targets, all made from one compilation (dsm_compiled).

file(GLOB dsm_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/lib/*.c)
if(NOT HAVE_PMIX)
	list(REMOVE_ITEM dsm_sources ${PROJECT_SOURCE_DIR}/lib/launch_pmix.c)
endif()

if(NOT HAVE_VERBS)
	list(FILTER dsm_sources EXCLUDE REGEX "/(transport_verbs|verbs_[a-z]+)\\.c$")
endif()

add_library(dsm_compiled OBJECT ${dsm_sources})
target_include_directories(dsm_compiled
	PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/lib
	${PROJECT_SOURCE_DIR}/kmod/uapi)
target_include_directories(dsm_compiled SYSTEM PRIVATE ${DSM_URCU_INCLUDE_DIRS})
# Everything is hidden but what dsm.h declares.
target_compile_options(dsm_compiled PRIVATE -include ${PROJECT_SOURCE_DIR}/lib/export.h)
target_link_libraries(dsm_compiled PRIVATE Threads::Threads PkgConfig::DSM_NUMA)

set(dsm_needs Threads::Threads PkgConfig::DSM_NUMA)
set(dsm_features "")
if(HAVE_PMIX)
	target_link_libraries(dsm_compiled PRIVATE PkgConfig::DSM_LIBPMIX)
	list(APPEND dsm_needs PkgConfig::DSM_LIBPMIX)
	list(APPEND dsm_features HAVE_PMIX=1)
endif()
if(HAVE_VERBS)
	target_link_libraries(dsm_compiled PRIVATE PkgConfig::DSM_LIBVERBS)
	list(APPEND dsm_needs PkgConfig::DSM_LIBVERBS)
	list(APPEND dsm_features HAVE_VERBS=1)
endif()
if(HAVE_SDT)
	list(APPEND dsm_features HAVE_SDT=1)
endif()
target_compile_definitions(dsm_compiled PRIVATE ${dsm_features})

# libdsm.so
add_library(dsm SHARED $<TARGET_OBJECTS:dsm_compiled>)
set(dsm_map ${PROJECT_SOURCE_DIR}/lib/libdsm.map)
target_link_libraries(dsm PRIVATE ${dsm_needs})
target_link_options(dsm PRIVATE -Wl,--version-script=${dsm_map} -Wl,--no-undefined)
if(DSM_SANITIZE AND CMAKE_C_COMPILER_ID MATCHES Clang)
	# clang links a sanitizer's runtime into the program alone.
	target_link_options(dsm PRIVATE -Wl,-z,undefs)
endif()
set_target_properties(dsm PROPERTIES
	VERSION ${PROJECT_VERSION}
	SOVERSION ${PROJECT_VERSION_MAJOR}
	LINKER_LANGUAGE C
	LINK_DEPENDS ${dsm_map})

# libdsm.a: linked into one object in which hidden names become local, so that a program may have
# functions of its own called log_write() or space_init().
set(dsm_one_object ${PROJECT_BINARY_DIR}/dsm_static.o)
add_custom_command(OUTPUT ${dsm_one_object}
	COMMAND ${CMAKE_LINKER} -r -o ${dsm_one_object} $<TARGET_OBJECTS:dsm_compiled>
	COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${dsm_one_object}
	DEPENDS dsm_compiled $<TARGET_OBJECTS:dsm_compiled>
	COMMAND_EXPAND_LISTS VERBATIM
	COMMENT "Linking the objects of libdsm.a into one")
add_library(dsm_static STATIC ${dsm_one_object})
target_link_libraries(dsm_static PRIVATE ${dsm_needs})
set_source_files_properties(${dsm_one_object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
set_target_properties(dsm_static PROPERTIES OUTPUT_NAME dsm LINKER_LANGUAGE C)

foreach(target IN ITEMS dsm dsm_static)
	target_include_directories(${target} INTERFACE
		$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
		$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
	add_library(dsm::${target} ALIAS ${target})
endforeach()

# For what looks inside: unit tests, benchmarks, dsm_info.
add_library(dsm_objects STATIC $<TARGET_OBJECTS:dsm_compiled>)
target_include_directories(dsm_objects
	INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/lib
	${PROJECT_SOURCE_DIR}/kmod/uapi)
target_include_directories(dsm_objects SYSTEM INTERFACE ${DSM_URCU_INCLUDE_DIRS})
target_compile_definitions(dsm_objects INTERFACE ${dsm_features})
target_link_libraries(dsm_objects PUBLIC ${dsm_needs})
set_target_properties(dsm_objects PROPERTIES LINKER_LANGUAGE C)
