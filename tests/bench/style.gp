# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What bars.gp and curves.gp share; told by -e: file (without its end), form ("svg" or "png"), heading.
if (form eq "svg") set terminal svg size 900,440 dynamic background rgb 'white' font 'sans-serif,13'
if (form eq "png") set terminal pngcairo size 1350,660 font 'sans,15'
set output file.'.'.form
set title '{/:Bold '.heading.'}' font ',16'
set key outside top center horizontal reverse Left samplen 1.5
set border 3 lc rgb '#808080'
set tics nomirror textcolor rgb '#303030'
set grid y lc rgb '#d8d8d8' lt 1
# the same colour for an engine everywhere
set linetype 1 lc rgb '#1565c0' lw 2 pt 7
set linetype 2 lc rgb '#66a61e' lw 2 pt 5
set linetype 3 lc rgb '#e6ab02' lw 2 pt 9
set linetype 4 lc rgb '#d95f02' lw 2 pt 11
set linetype 5 lc rgb '#808080' lw 2 pt 6
line(engine) = engine eq 'socktables' ? 1 : engine eq 'nftables' ? 2 : engine eq 'iptables-nft' ? 3 : \
	engine eq 'iptables-legacy' ? 4 : 5
