import{a,b,c,d}from"./chunk-NBUZVMLB.js";import"./chunk-TTGZECVB.js";export{d as css,b as cssCompletionSource,c as cssLanguage,a as defineCSSCompletionSource};
