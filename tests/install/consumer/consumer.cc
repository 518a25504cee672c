// SPDX-License-Identifier: MIT
// The same in C++: the header must be C++, and its functions have C names.
#include <iostream>
#include <dsm/dsm.h>

int main()
{
	dsm_attr attr = {};
	std::cout << "libdsm " << dsm_version_string() << std::endl;
	return attr.home != DSM_HOME_BLOCKED || dsm_version() / 10000 != DSM_VERSION_MAJOR;
}
