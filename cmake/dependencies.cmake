# SPDX-License-Identifier: MIT
#
# What libdsm is built on: liburcu (headers alone: urcu/list.h), libnuma, threads; libpmix,
# libibverbs with librdmacm, and <sys/sdt.h> where they are.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(DSM_URCU REQUIRED liburcu)
pkg_check_modules(DSM_NUMA REQUIRED IMPORTED_TARGET numa)

set(HAVE_PMIX OFF)
if(DSM_PMIX)
	pkg_check_modules(DSM_LIBPMIX IMPORTED_TARGET pmix)
	if(DSM_LIBPMIX_FOUND)
		set(HAVE_PMIX ON)
	endif()
endif()
if(NOT HAVE_PMIX)
	message(STATUS "PMIx: not used; ranks find one another by DSM_RANK, DSM_SIZE, DSM_ROOT")
endif()

set(HAVE_VERBS OFF)
if(DSM_VERBS)
	pkg_check_modules(DSM_LIBVERBS IMPORTED_TARGET libibverbs librdmacm)
	if(DSM_LIBVERBS_FOUND)
		set(HAVE_VERBS ON)
	endif()
endif()
if(NOT HAVE_VERBS)
	message(STATUS "RDMA: not used, for want of libibverbs and librdmacm; one host alone")
endif()

check_include_file(sys/sdt.h HAVE_SDT)
