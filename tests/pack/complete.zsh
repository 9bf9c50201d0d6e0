# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# complete.zsh DIR LINE: what zsh, with completions from DIR, offers for LINE, one a line. A second zsh runs on a
# pseudo-terminal, since there is no completion without a line editor; in it compadd tells what it is given.
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PROMPT= RPROMPT= ; unsetopt zle_bracketed_paste; fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -d ${(q)1}/dump"
zpty -w z 'zstyle ":completion:*" list-prompt ""; LISTMAX=0
offered() {
	compstate[insert]= compstate[list]=
	unfunction compadd 2> /dev/null
	compadd() {
		local -a hits descriptions
		if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
			builtin compadd "$@"
			return
		fi
		builtin compadd -A hits "$@"
		(( ! $#hits )) || print -r -l -- "<"$^hits">" >> $OFFERED
		builtin compadd "$@"
	}
	_main_complete
	compstate[insert]= compstate[list]=
	print -r -- done >> $OFFERED
}
zle -C offered complete-word offered; bindkey "^I" offered'
OFFERED=$1/offered
rm -f $OFFERED
zpty -w z "OFFERED=${(q)OFFERED}; print -r -- ready >> \$OFFERED"
repeat 200; do
	[[ -s $OFFERED ]] && break
	zpty -r -t z > /dev/null
	sleep 0.05
done
zpty -w -n z "$2"$'\t'
repeat 400; do
	grep -q '^done' $OFFERED && break
	zpty -r -t z > /dev/null
	sleep 0.05
done
grep -q '^done' $OFFERED || print -u 2 "nothing was offered"
zpty -d z
sed -nE 's/^<(.*)>$/\1/p' $OFFERED | sed -E 's/=$//'
