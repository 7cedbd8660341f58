#include "ui/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ui/screen-rescue.h"

enum {
    ESCAPE_MS = 25, /* a lone Esc is told from the beginning of a function key after this */
    PASTE_BEGINS = KEY_MAX + 1,
    PASTE_ENDS,
};

struct screen {
    int tty;        /* opened here: nonblocking, and nobody else's */
    int drawn;      /* ncurses writes here: a file in memory, which takes a picture of any size */
    FILE *in, *out; /* of the tty and of drawn, as newterm wants them */
    SCREEN *ncurses;
    WINDOW *keys; /* read from: a pad is not refreshed by reading */
    struct theme theme;
    char *left; /* what the terminal has not taken yet */
    size_t left_at, left_len, left_size;
    uint64_t bytes;
    int rows, cols;
    bool pasting, pasted; /* between the two; so was the last key */
    struct sigaction old_winch, old_cont;
};

/* Signal handlers reach these. */
static int resize_fd = -1;
static volatile sig_atomic_t continued;

static void on_winch(int sig)
{
    uint64_t one = 1;
    int saved = errno;
    if (sig == SIGCONT)
        continued = 1;
    if (write(resize_fd, &one, sizeof(one)) < 0)
        errno = saved; /* full: the reader is awake already */
    errno = saved;
}

/* ---- opening ---- */

static bool is_utf8(void)
{
    return strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* Whether the user's environment means UTF-8.  Where it names a locale that is not installed here (an SSH session from
 * elsewhere), C.UTF-8 does as well; other encodings are treated as ASCII. */
static bool choose_locale(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    if (setlocale(LC_CTYPE, "") != NULL && is_utf8())
        return true;
    const char *value = NULL;
    for (size_t i = 0; i < ARRAY_LEN(names) && (value == NULL || value[0] == '\0'); i++)
        value = getenv(names[i]);
    bool named = value != NULL && (strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL);
    if (named && setlocale(LC_CTYPE, "C.UTF-8") != NULL && is_utf8())
        return true;
    setlocale(LC_CTYPE, "C");
    return false;
}

static int open_terminal(char **cause)
{
    char name[128];
    int fd = -1;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return cause_set(cause, "standard input and output are not a terminal");
    const char *term = getenv("TERM");
    if (term == NULL || term[0] == '\0')
        return cause_set(cause, "TERM is not set, so nothing is known of this terminal");
    if (ttyname_r(STDIN_FILENO, name, sizeof(name)) == 0)
        fd = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return cause_set(cause, "the terminal can't be opened: %s", strerror(errno));
    return fd;
}

static void read_size(struct screen *s)
{
    struct winsize size;
    if (ioctl(s->tty, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        s->rows = size.ws_row;
        s->cols = size.ws_col;
    }
}

static void set_mode(const struct screen *s)
{
    struct termios raw;
    if (tcgetattr(s->tty, &raw) != 0)
        return;
    raw.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR);
    raw.c_oflag &= ~(tcflag_t)ONLCR;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(s->tty, TCSANOW, &raw);
}

/* newterm puts in handlers of its own for these; they are the program's. */
static const int borrowed[] = {SIGINT, SIGTERM, SIGTSTP, SIGWINCH};

/* ncurses learns the terminal's modes from the descriptor that it writes to.  So that is the terminal while newterm
 * looks at it (nothing is written yet: its buffer is larger than what starts a screen), and the file in memory from
 * then on. */
static int start_ncurses(struct screen *s, char **cause)
{
    struct sigaction saved[ARRAY_LEN(borrowed)];
    sigset_t all, before;
    int out = fcntl(s->tty, F_DUPFD_CLOEXEC, 3), in = fcntl(s->tty, F_DUPFD_CLOEXEC, 3);
    s->drawn = memfd_create("screen", MFD_CLOEXEC);
    s->out = out >= 0 ? fdopen(out, "w") : NULL;
    s->in = in >= 0 ? fdopen(in, "r") : NULL;
    if (s->drawn < 0 || s->out == NULL || s->in == NULL)
        return cause_set(cause, "no descriptors for the terminal: %s", strerror(errno));
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (size_t i = 0; i < ARRAY_LEN(borrowed); i++)
        sigaction(borrowed[i], NULL, &saved[i]);
    s->ncurses = newterm(NULL, s->out, s->in);
    if (s->ncurses != NULL) {
        cbreak();
        noecho();
        nonl();
    }
    for (size_t i = 0; i < ARRAY_LEN(borrowed); i++)
        sigaction(borrowed[i], &saved[i], NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (s->ncurses == NULL)
        return cause_set(cause, "the terminal \"%s\" (TERM) is not known here, or can't move its cursor",
                         getenv("TERM"));
    if (dup3(s->drawn, out, O_CLOEXEC) < 0)
        return cause_set(cause, "the terminal's descriptor can't be replaced: %s", strerror(errno));
    return 0;
}

static void add_left(struct screen *s, const char *data, size_t len)
{
    if (s->left_len + len > s->left_size) {
        s->left_size = s->left_len + len;
        s->left = xrealloc(s->left, s->left_size);
    }
    memcpy(s->left + s->left_len, data, len);
    s->left_len += len;
}

/* Asks the terminal to mark what is pasted, where its description says how. */
static void mark_pastes(struct screen *s)
{
    const char *on = tigetstr("BE"), *begins = tigetstr("PS"), *ends = tigetstr("PE"), *none = (const char *)-1;
    if (on == NULL || on == none || begins == NULL || begins == none || ends == NULL || ends == none)
        return;
    define_key(begins, PASTE_BEGINS);
    define_key(ends, PASTE_ENDS);
    add_left(s, on, strlen(on));
}

static void catch_resize(struct screen *s)
{
    struct sigaction sa = {.sa_handler = on_winch, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    resize_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigaction(SIGWINCH, &sa, &s->old_winch);
    sigaction(SIGCONT, &sa, &s->old_cont);
}

static void release(struct screen *s)
{
    if (s->keys != NULL)
        delwin(s->keys);
    if (s->ncurses != NULL)
        delscreen(s->ncurses);
    if (s->out != NULL)
        fclose(s->out);
    if (s->in != NULL)
        fclose(s->in);
    if (s->drawn >= 0)
        close(s->drawn);
    if (s->tty >= 0)
        close(s->tty);
    free(s->left);
    free(s);
}

struct screen *screen_open(char **cause)
{
    struct screen *s = xcalloc(1, sizeof(*s));
    struct termios found;
    s->drawn = -1;
    s->tty = open_terminal(cause);
    if (s->tty < 0)
        goto fail;
    if (tcgetattr(s->tty, &found) != 0) {
        cause_set(cause, "the terminal's settings can't be read: %s", strerror(errno));
        goto fail;
    }
    bool utf8 = choose_locale();
    if (start_ncurses(s, cause) != 0) {
        tcsetattr(s->tty, TCSANOW, &found);
        goto fail;
    }
    rescue_arm(s->tty, &found);
    set_mode(s);
    set_escdelay(ESCAPE_MS);
    typeahead(-1);
    s->keys = newpad(1, 1);
    keypad(s->keys, TRUE);
    nodelay(s->keys, TRUE);
    mark_pastes(s);
    leaveok(stdscr, FALSE);
    theme_start(&s->theme, utf8);
    catch_resize(s);
    s->rows = LINES;
    s->cols = COLS;
    read_size(s);
    resize_term(s->rows, s->cols);
    return s;
fail:
    release(s);
    return NULL;
}

/* ---- closing ---- */

bool screen_close(struct screen *s, int patience_ms)
{
    size_t len;
    if (s == NULL)
        return true;
    const char *leave = rescue_leave(&len);
    add_left(s, leave, len);
    int64_t until = clock_us() + (int64_t)patience_ms * 1000, now;
    bool more;
    while ((more = screen_push(s)) && !screen_lost(s) && (now = clock_us()) < until) {
        struct pollfd p = {.fd = s->tty, .events = POLLOUT};
        if (poll(&p, 1, (int)((until - now + 999) / 1000)) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0)
            break;
    }
    sigaction(SIGWINCH, &s->old_winch, NULL);
    sigaction(SIGCONT, &s->old_cont, NULL);
    bool taken = rescue_disarm(more);
    close(resize_fd);
    resize_fd = -1;
    release(s);
    return taken;
}

void screen_rescue(void)
{
    rescue_now();
}

/* ---- what goes in and out ---- */

int screen_in(const struct screen *s)
{
    return s->tty;
}

int screen_out(const struct screen *s)
{
    return s->tty;
}

int screen_resize_fd(const struct screen *s)
{
    (void)s;
    return resize_fd;
}

bool screen_resized(struct screen *s)
{
    uint64_t n;
    int rows = s->rows, cols = s->cols;
    bool was_stopped = continued != 0;
    if (read(resize_fd, &n, sizeof(n)) < 0)
        return false;
    continued = 0;
    if (was_stopped)
        set_mode(s); /* a shell has had the terminal in between */
    read_size(s);
    if (s->rows == rows && s->cols == cols && !was_stopped)
        return false;
    resize_term(s->rows, s->cols);
    screen_repaint(s);
    return true;
}

void screen_size(const struct screen *s, int *rows, int *cols)
{
    *rows = s->rows;
    *cols = s->cols;
}

const struct theme *screen_theme(const struct screen *s)
{
    return &s->theme;
}

bool screen_key(struct screen *s, int *key)
{
    wint_t c;
    int kind;
    while ((kind = wget_wch(s->keys, &c)) == KEY_CODE_YES && (c == PASTE_BEGINS || c == PASTE_ENDS))
        s->pasting = c == PASTE_BEGINS;
    if (kind == ERR)
        return false;
    s->pasted = s->pasting;
    *key = (int)c;
    if (kind != KEY_CODE_YES && c >= 0x100)
        *key |= SCREEN_WIDE;
    if ((kind != KEY_CODE_YES && c == '\r') || (kind == KEY_CODE_YES && c == KEY_ENTER))
        *key = '\n';
    return true;
}

uint32_t screen_key_character(int key)
{
    if ((key & SCREEN_WIDE) != 0)
        return (uint32_t)(key & ~SCREEN_WIDE);
    return key >= 0x20 && key < 0x100 && key != 0x7f ? (uint32_t)key : 0;
}

bool screen_pasted(const struct screen *s)
{
    return s->pasted;
}

bool screen_lost(const struct screen *s)
{
    struct pollfd p = {.fd = s->tty, .events = POLLIN};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

void screen_repaint(struct screen *s)
{
    (void)s;
    clearok(curscr, TRUE);
}

/* Takes what ncurses has written. */
static void collect(struct screen *s)
{
    off_t size = lseek(s->drawn, 0, SEEK_CUR);
    if (size <= 0)
        return;
    char *data = xmalloc((size_t)size);
    ssize_t n = pread(s->drawn, data, (size_t)size, 0);
    if (n > 0)
        add_left(s, data, (size_t)n);
    free(data);
    if (ftruncate(s->drawn, 0) == 0)
        lseek(s->drawn, 0, SEEK_SET);
}

void screen_show(struct screen *s, int row, int col)
{
    bool visible = row >= 0 && row < s->rows && col >= 0 && col < s->cols;
    curs_set(visible);
    wmove(stdscr, visible ? row : 0, visible ? col : 0);
    leaveok(stdscr, !visible);
    wnoutrefresh(stdscr);
    doupdate();
    collect(s);
    screen_push(s);
}

bool screen_push(struct screen *s)
{
    while (s->left_at < s->left_len) {
        ssize_t n = write(s->tty, s->left + s->left_at, s->left_len - s->left_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return true;
        s->left_at += (size_t)n;
        s->bytes += (uint64_t)n;
    }
    s->left_at = s->left_len = 0;
    return false;
}

uint64_t screen_bytes(const struct screen *s)
{
    return s->bytes;
}
