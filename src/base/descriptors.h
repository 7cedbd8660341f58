/* The descriptors that a program finds at its start. */
#ifndef TIGHTWAD_BASE_DESCRIPTORS_H
#define TIGHTWAD_BASE_DESCRIPTORS_H

/* Standard input, output and error that are closed lead nowhere (/dev/null) from now on: else the next socket would get
 * their number, and what is printed would go into it.  First thing in main. */
void descriptors_complete(void);

#endif
