#include "base/descriptors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void descriptors_complete(void)
{
    for (int fd = 0; fd <= 2; fd++) { /* the lowest free one is taken */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            abort();
    }
}
