# SPDX-License-Identifier: MIT
#
# Compiler and linker flags of everything in this tree. They stay in it: none reaches a program that
# uses the installed library.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Empty, so that a source's own "#define _GNU_SOURCE" is the same definition.
add_compile_definitions(_GNU_SOURCE=)
add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes)
if(DSM_WERROR)
	add_compile_options(-Werror)
endif()

if(DSM_SANITIZE)
	add_compile_options(-fsanitize=${DSM_SANITIZE} -fno-omit-frame-pointer)
	add_link_options(-fsanitize=${DSM_SANITIZE})
	if(DSM_SANITIZE MATCHES thread AND CMAKE_C_COMPILER_ID STREQUAL GNU)
		# Fences order what other processes see, which it does not look at.
		add_compile_options(-Wno-tsan)
	endif()
	if(DSM_SANITIZE MATCHES undefined)
		add_compile_options(-fno-sanitize-recover=undefined)
	endif()
endif()

if(DSM_FUZZER)
	# Counts edges in the library; the targets in tests/fuzz bring the fuzzer.
	add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(DSM_COVERAGE)
	# -O0: an inlined or merged line would be counted for another.
	add_compile_options(--coverage -O0 -fprofile-update=atomic)
	add_link_options(--coverage)
endif()
